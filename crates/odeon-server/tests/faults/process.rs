//! What the processes of these tests do: a small server asks and tells its peers all the time, and prints how
//! that goes.
//!
//! The processes are this very test binary, started with nothing but the test [`process`], and with
//! `ID LISTEN [--tls HOME SERVER] [PEER=ADDRESS]...` in the environment, a line each. `HOME` is the directory with the
//! authorities' files, `SERVER` that of the server's. Each line that is printed begins with a word: `ready ADDRESS`;
//! `answered PEER MILLIS` and `failed PEER MILLIS WHY` of an ask, with the time it took; `told PEER N` when the
//! link has taken tell N; `lost PEER` of a tell that may be lost; `down PEER WHY` of a monitor; `got SERVER N` for
//! a tell that came in. It ends with
//! its standard input.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use odeon_actor::{Cx, DeadReason, actor};
use odeon_auth::{Cookie, TlsContext, TlsFiles};
use odeon_core::{Address, Epoch, Reference, ServerId};
use odeon_server::{Server, ServerConfig, World};
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;

/// How long a peer is left alone between two asks.
const PAUSE: Duration = Duration::from_millis(50);

/// How long an ask may take.
const WITHIN: Duration = Duration::from_secs(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Answers, and prints what it is told.
struct Echo;

/// Answers, and prints what it is told.
#[actor(mark = "faults-echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&self, n: u64) -> u64 {
        n
    }

    /// Prints it.
    #[handle]
    fn note(&self, n: u64, cx: &mut Cx<Self>) {
        if let Some(server) = cx.sender().server() {
            println!("got {server} {n}");
        }
    }
}

/// The name of this test, which is all that a process runs.
pub(crate) const TEST: &str = "process::process";

/// Where a process finds its arguments.
pub(crate) const ARGUMENTS: &str = "ODEON_FAULTS_PROCESS";

/// Is the process of the other tests, if it was started as such, and else does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn process() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    // The harness may have begun a line.
    println!();
    if let Err(error) = serve(&arguments).await {
        println!("error {error}");
    }
}

async fn serve(arguments: &str) -> Result<(), Failure> {
    let mut arguments = arguments.lines().map(str::to_owned);
    let id: ServerId = arguments.next().ok_or("no id")?.parse()?;
    let listen: Address = arguments.next().ok_or("no address")?.parse()?;
    let world = World::real("faults-host".parse()?);
    // A later process is a later incarnation.
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut config =
        ServerConfig::new(id, Cookie::from_bytes([9; 32]), world).epoch(Epoch(epoch)).listen(listen);
    let mut peers = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--tls" {
            let mut directory = || arguments.next().ok_or("no directory");
            config = config.tls(context(Path::new(&directory()?), Path::new(&directory()?))?);
            continue;
        }
        let (peer, address) = argument.split_once('=').ok_or("a peer is PEER=ADDRESS")?;
        let peer: ServerId = peer.parse()?;
        config = config.known(peer.clone(), vec![address.parse()?]);
        peers.push(peer);
    }
    let server = Server::start(config).await?;
    server.spawn_named("echo".parse()?, Echo)?;
    server.system().on_dead_letter(|letter| {
        if let DeadReason::MaybeLost { to, .. } = &letter.reason {
            println!("lost {} ", to.server);
        }
    });
    println!("ready {}", server.addresses()[0]);
    for peer in peers {
        tokio::spawn(ask(server.clone(), peer.clone()));
        tokio::spawn(tell(server.clone(), peer.clone()));
        tokio::spawn(watch(server.clone(), peer));
    }
    // Whoever started it is gone when this ends.
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    server.shutdown(Duration::from_millis(100)).await;
    Ok(())
}

fn context(home: &Path, server: &Path) -> Result<TlsContext, Failure> {
    let files = TlsFiles::of(home, server);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(TlsContext::load(&files, now)?)
}

fn echo_of(server: &Server, peer: &ServerId) -> odeon_actor::Handle<Echo> {
    let actor = "echo".parse().expect("`echo` is an actor's name");
    server.actor(Reference::new(peer.clone(), actor))
}

async fn ask(server: Server, peer: ServerId) {
    let echo = echo_of(&server, &peer);
    for n in 0.. {
        let began = Instant::now();
        let asked = echo.say(n).within(WITHIN).await;
        let took = began.elapsed().as_millis();
        match asked {
            Ok(_) => println!("answered {peer} {took}"),
            Err(error) => println!("failed {peer} {took} {error}"),
        }
        wait_a_moment().await;
    }
}

async fn tell(server: Server, peer: ServerId) {
    let echo = echo_of(&server, &peer);
    for n in 0_u64.. {
        if echo.note(n).tell().await.is_ok() {
            println!("told {peer} {n}");
        }
        wait_a_moment().await;
    }
}

async fn watch(server: Server, peer: ServerId) {
    let echo = echo_of(&server, &peer);
    loop {
        let (over, wait) = oneshot::channel();
        let set = echo.monitor(Box::new(move |down| {
            // The task that waits lives as long as the server.
            let _ = over.send(down.reason);
        }));
        if set.is_ok()
            && let Ok(reason) = wait.await
        {
            println!("down {peer} {reason}");
        }
        wait_a_moment().await;
    }
}

async fn wait_a_moment() {
    tokio::time::sleep(PAUSE).await;
}
