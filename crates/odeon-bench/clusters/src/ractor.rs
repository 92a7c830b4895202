//! `ractor-cluster`: a node on each side; the counter is found by its process group.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg, rpc::CallResult};
use ractor_cluster::{NodeServer, RactorClusterMessage};

use crate::{
    Failure, announce_and_wait,
    drive::{Near, TELL_BYTES},
};

const GROUP: &str = "counters";
const COOKIE: &str = "bench";

/// Time to join the other node.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the counter takes.
#[derive(RactorClusterMessage)]
pub(crate) enum Message {
    /// Answers the value plus the number of tells.
    #[rpc]
    Ask(u64, RpcReplyPort<u64>),
    /// A tell.
    Note(Vec<u8>),
}

struct Counter;

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        told: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // The asker may have given up.
            Message::Ask(value, port) => drop(port.send(value + *told)),
            Message::Note(bytes) => *told += u64::from(bytes.len() == TELL_BYTES),
        }
        Ok(())
    }
}

async fn node(name: &str, port: u16) -> Result<ActorRef<ractor_cluster::NodeServerMessage>, Failure> {
    let server =
        NodeServer::new(port, COOKIE.to_owned(), name.to_owned(), "localhost".to_owned(), None, None)
            .with_listen_addr(std::net::Ipv4Addr::LOCALHOST.into());
    Ok(Actor::spawn(None, server, ()).await?.0)
}

pub(crate) async fn far() -> Result<(), Failure> {
    Actor::spawn(None, Counter, ()).await?;
    // Free at this moment; it is the node's in the next. The library does not say which port it got.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    node("far", port).await?;
    announce_and_wait(&format!("127.0.0.1:{port}")).await
}

/// The way to the counter.
#[derive(Clone)]
pub(crate) struct Ractor(ActorRef<Message>);

impl Near for Ractor {
    async fn open(address: String) -> Result<Self, Failure> {
        let node = node("near", 0).await?;
        ractor_cluster::client_connect(&node, address).await?;
        let found = async {
            loop {
                if let Some(counter) = pg::get_members(&GROUP.to_owned()).into_iter().next() {
                    return Self(counter.into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, found).await?)
    }

    async fn ask(&self, value: u64) -> Result<u64, Failure> {
        match self.0.call(|port| Message::Ask(value, port), Some(PATIENCE)).await? {
            CallResult::Success(answer) => Ok(answer),
            other => Err(format!("no answer: {other:?}").into()),
        }
    }

    async fn tell(&self, bytes: [u8; TELL_BYTES]) -> Result<(), Failure> {
        Ok(self.0.cast(Message::Note(bytes.to_vec()))?)
    }
}
