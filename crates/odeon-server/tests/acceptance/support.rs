//! Servers and an actor to test with, and waiting for what they do.

use std::time::Duration;

use odeon_actor::{Handle, actor};
use odeon_auth::Cookie;
use odeon_core::{Address, Epoch, Reference, ServerId};
use odeon_server::{Control, Server, ServerConfig};

pub(crate) use crate::common::wait_until;
pub(crate) use crate::site::{PATIENCE, Site, id, soon};

/// Answers with what it is asked, and a world.
#[derive(Debug, Default)]
pub(crate) struct Echo;

/// Answers with what it is asked, and a world.
#[actor(mark = "echo/1")]
impl Echo {
    /// The pair of what was said and `world`.
    #[handle]
    fn say(&self, text: String) -> (String, String) {
        (text, "world".to_owned())
    }
}

pub(crate) fn hello_world() -> (String, String) {
    ("hello".to_owned(), "world".to_owned())
}

pub(crate) fn at(server: &ServerId, actor: &str) -> Reference {
    Reference::new(server.clone(), actor.parse().expect("an actor"))
}

pub(crate) fn cookie(byte: u8) -> Cookie {
    Cookie::from_bytes([byte; 32])
}

pub(crate) fn tcp() -> Address {
    "tcp:127.0.0.1:0".parse().expect("an address")
}

impl Site {
    pub(crate) fn config(&self, server: &str) -> ServerConfig {
        ServerConfig::new(id(server), cookie(7), self.world()).epoch(Epoch(1))
    }

    pub(crate) fn unix(&self, server: &str) -> Address {
        self.home.address(&id(server))
    }
}

pub(crate) async fn start(config: ServerConfig) -> Server {
    Server::start(config).await.expect("starts")
}

/// Starts an echo under its name.
pub(crate) fn echo(server: &Server) -> Handle<Echo> {
    server.spawn_named("echo".parse().expect("a name"), Echo).expect("the name is free")
}

/// The control plane of `of`, as `server` reaches it.
pub(crate) fn control(server: &Server, of: &ServerId) -> Handle<Control> {
    server.actor(at(of, "0"))
}

pub(crate) fn names(server: &Server) -> Vec<String> {
    server.system().registered().iter().map(|actor| actor.name.to_string()).collect()
}

/// Does for a server what its process does: it ends when somebody asks for that. Ready when it has ended.
pub(crate) fn serve(server: &Server) -> tokio::task::JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move {
        server.shutdown_requested().await;
        server.shutdown(Duration::from_secs(1)).await;
    })
}
