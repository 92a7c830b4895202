//! A network in memory, for tests in which time is made to pass.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::Address;
use odeon_core::seam::{BoxFuture, Connection, Listener, Net, PeerCredentials};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes that one side may be ahead of the other.
const WINDOW_BYTES: usize = 16 * 1024;

type Listeners = BTreeMap<Address, mpsc::Sender<DuplexStream>>;

/// Connects whoever is in the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryNet(Arc<Mutex<Listeners>>);

impl MemoryNet {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our end of a connection to `address`.
    pub(crate) async fn dial(&self, address: &Address) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.listeners().get(address).cloned().ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(WINDOW_BYTES);
        listener.send(theirs).await.map_err(|_| refused())?;
        Ok(ours)
    }
}

fn connection(stream: DuplexStream, remote: &Address) -> Connection {
    let credentials = PeerCredentials::default();
    Connection { stream: Box::new(stream), credentials, remote: remote.to_string() }
}

impl Net for MemoryNet {
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { Ok(connection(self.dial(address).await?, address)) })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        let (sender, arriving) = mpsc::channel(16);
        self.listeners().insert(address.clone(), sender);
        let socket = MemorySocket { address: address.clone(), arriving };
        Box::pin(async { Ok(Box::new(socket) as Box<dyn Listener>) })
    }
}

#[derive(Debug)]
struct MemorySocket {
    address: Address,
    arriving: mpsc::Receiver<DuplexStream>,
}

impl Listener for MemorySocket {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
            let stream = self.arriving.recv().await.ok_or_else(gone)?;
            Ok(connection(stream, &self.address))
        })
    }
}
