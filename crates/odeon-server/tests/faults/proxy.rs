//! A forwarder of TCP connections that breaks them as it is told.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How often a forwarder looks whether it is to do something else.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are forwarded.
    Pass,
    /// They are forwarded so much later.
    Delay(Duration),
    /// So many are forwarded in a second.
    Throttle(usize),
    /// They are not read any more, in either direction.
    Stall,
    /// What the dialler sends is read and thrown away; the way back works.
    HalfOpen,
    /// Connections end in a reset, new ones too.
    Reset,
}

/// A forwarder to one address. It ends with the test's process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

impl Proxy {
    /// A forwarder to `target`, which passes everything to begin with.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mode = Arc::new(Mutex::new(Mode::Pass));
        let shared = Arc::clone(&mode);
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                // Where the target refuses, so does the forwarder.
                let Ok(target) = TcpStream::connect(target) else { continue };
                forward(&dialler, &target, &shared, true);
                forward(&target, &dialler, &shared, false);
            }
        });
        Self { address, mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

/// Copies one direction in a thread of its own.
fn forward(from: &TcpStream, to: &TcpStream, mode: &Arc<Mutex<Mode>>, is_out: bool) {
    let (from, to) = (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"));
    let mode = Arc::clone(mode);
    thread::spawn(move || {
        // However it ends, the other direction sees the end too.
        let _ = wait_and_copy(&from, &to, &mode, is_out);
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

fn wait_and_copy(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mode: &Mutex<Mode>,
    is_out: bool,
) -> io::Result<()> {
    from.set_read_timeout(Some(LOOK_EVERY))?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mode = *mode.lock().unwrap_or_else(PoisonError::into_inner);
        let room = match mode {
            Mode::Reset => {
                set_socket_linger(from, Some(Duration::ZERO))?;
                return set_socket_linger(to, Some(Duration::ZERO)).map_err(io::Error::from);
            }
            Mode::Stall => {
                thread::sleep(LOOK_EVERY);
                continue;
            }
            Mode::Throttle(bytes) => (bytes / 50).max(1),
            _ => buffer.len(),
        };
        let count = match from.read(&mut buffer[..room]) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        match mode {
            Mode::Delay(delay) => thread::sleep(delay),
            Mode::Throttle(_) => thread::sleep(LOOK_EVERY),
            Mode::HalfOpen if is_out => continue,
            _ => {}
        }
        to.write_all(&buffer[..count])?;
    }
}
