//! `kameo`: actors over libp2p, on TCP with noise and yamux. The other side is dialled; nothing is announced to the
//! network around, as the library's own bootstrap would.

use std::time::Duration;

use futures::StreamExt as _;
use kameo::{
    Actor,
    actor::{ActorRef, RemoteActorRef, Spawn as _},
    mailbox,
    message::{Context, Message},
    remote::{self, messaging},
    remote_message,
};
use libp2p::{
    Multiaddr, PeerId, Swarm, noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    Failure, announce_and_wait,
    drive::{Near, TELL_BYTES},
};

const NAME: &str = "counter";

/// Time to find the other side.
const PATIENCE: Duration = Duration::from_secs(20);

/// Substreams at once: an ask takes one. Twice what is open.
const STREAMS_MAX: usize = 2_048;

/// Messages its mailbox holds, as in the local workloads.
const MAILBOX_MAX: usize = 1_024;

#[derive(Actor, kameo::RemoteActor)]
pub(crate) struct Counter(u64);

#[derive(Serialize, Deserialize)]
struct Ask(u64);

#[derive(Serialize, Deserialize)]
struct Note(Vec<u8>);

#[remote_message]
impl Message<Ask> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Ask(value): Ask, _: &mut Context<Self, u64>) -> u64 {
        value + self.0
    }
}

#[remote_message]
impl Message<Note> for Counter {
    type Reply = ();

    async fn handle(&mut self, note: Note, _: &mut Context<Self, ()>) {
        self.0 += u64::from(note.0.len() == TELL_BYTES);
    }
}

fn muxer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_MAX);
    config
}

fn swarm() -> Result<Swarm<remote::Behaviour>, Failure> {
    let swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)?
        .with_behaviour(|key| {
            let config = messaging::Config::default().with_max_concurrent_streams(STREAMS_MAX);
            remote::Behaviour::new(key.public().to_peer_id(), config)
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    swarm.behaviour().init_global();
    Ok(swarm)
}

/// Runs the swarm, and says once where it listens, or that it is connected.
fn drive(mut swarm: Swarm<remote::Behaviour>) -> (oneshot::Receiver<Multiaddr>, oneshot::Receiver<()>) {
    let (listening, listens) = oneshot::channel();
    let (connected, connects) = oneshot::channel();
    let (mut listening, mut connected) = (Some(listening), Some(connected));
    tokio::spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    if let Some(listening) = listening.take() {
                        let _ = listening.send(address);
                    }
                }
                SwarmEvent::ConnectionEstablished { .. } => {
                    if let Some(connected) = connected.take() {
                        let _ = connected.send(());
                    }
                }
                _ => {}
            }
        }
    });
    (listens, connects)
}

pub(crate) async fn far() -> Result<(), Failure> {
    let mut swarm = swarm()?;
    let peer = *swarm.local_peer_id();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = drive(swarm).0.await?;
    let counter: ActorRef<Counter> = Counter::spawn_with_mailbox(Counter(0), mailbox::bounded(MAILBOX_MAX));
    counter.register(NAME).await?;
    announce_and_wait(&format!("{address}/p2p/{peer}")).await
}

/// The way to the counter.
#[derive(Clone)]
pub(crate) struct Kameo(RemoteActorRef<Counter>);

impl Near for Kameo {
    async fn open(address: String) -> Result<Self, Failure> {
        let mut swarm = swarm()?;
        let (address, peer) = address.split_once("/p2p/").ok_or("the address names no peer")?;
        let (address, peer): (Multiaddr, PeerId) = (address.parse()?, peer.parse()?);
        // As the library's bootstrap does for those it has discovered: the registry asks only whom it knows.
        swarm.add_peer_address(peer, address.clone());
        swarm.dial(DialOpts::peer_id(peer).addresses(vec![address]).build())?;
        drive(swarm).1.await?;
        let found = async {
            loop {
                match RemoteActorRef::<Counter>::lookup(NAME).await {
                    Ok(Some(counter)) => return Ok::<_, Failure>(Self(counter)),
                    Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await?
    }

    async fn ask(&self, value: u64) -> Result<u64, Failure> {
        Ok(self.0.ask(&Ask(value)).send().await?)
    }

    async fn tell(&self, bytes: [u8; TELL_BYTES]) -> Result<(), Failure> {
        Ok(self.0.tell(&Note(bytes.to_vec())).send()?)
    }
}
