//! One ask at a time, and tells, by blocking calls. A request is a number of bytes that both sides know; an answer is
//! eight bytes that say which answer it is.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::Instant,
};

use super::{ANSWER_BYTES, BUFFER_BYTES, Listening, client};
use crate::{
    drive::expect,
    error::JobError,
    remote::{
        drive::Kept,
        far::{self, Far},
        peers::tls,
        question::{Question, Task, Transport},
    },
    workload::Sample,
};

/// Asks before the clock starts.
const WARM_UP_ASKS: usize = 200;

/// A connection for blocking calls.
trait Connection: Read + Write + Send {
    /// Says that nothing more will come, and still reads.
    fn finish(&mut self) -> io::Result<()>;
}

impl Connection for UnixStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Connection for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Connection for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

impl Connection for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

/// Serves each connection by a thread of its own.
pub(super) fn far(task: &Task, listening: Listening, address: String) -> Result<(), JobError> {
    let question = task.point.question;
    thread::spawn(move || {
        while let Ok(mut connection) = accept(&listening) {
            thread::spawn(move || serve(&mut *connection, question));
        }
    });
    far::announce(&[address])?;
    far::wait_for_the_end();
    Ok(())
}

fn accept(listening: &Listening) -> io::Result<Box<dyn Connection>> {
    Ok(match listening {
        Listening::Unix(listener) => Box::new(listener.accept()?.0),
        Listening::Tcp(listener, tls) => {
            let connection = listener.accept()?.0;
            connection.set_nodelay(true)?;
            match tls {
                None => Box::new(connection),
                Some(tls) => {
                    let session = rustls::ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
                    Box::new(rustls::StreamOwned::new(session, connection))
                }
            }
        }
    })
}

/// Answers every request; tells by their number, when the sender is done.
fn serve(connection: &mut dyn Connection, question: Question) -> io::Result<()> {
    let request_bytes = question.bytes();
    let (mut bytes, mut requests) = (0, 0_u64);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            connection.write_all(&requests.to_le_bytes())?;
            return connection.flush();
        }
        bytes += read;
        let come = bytes / request_bytes;
        bytes %= request_bytes;
        requests += come as u64;
        if question != Question::Tell && come > 0 {
            connection.write_all(&requests.to_le_bytes())?;
            connection.flush()?;
        }
    }
}

/// Asks over each connection in turn, or pours tells into one.
pub(super) fn near(task: &Task, far: &Far) -> Result<Sample, JobError> {
    let tls = client(task, far)?;
    let connect = || connect(task, far, tls.as_ref()).map_err(JobError::Link);
    if task.point.question == Question::FirstContact {
        let mut kept = Kept::new(task.count);
        let started = Instant::now();
        for _ in 0..task.count {
            let since = Instant::now();
            expect(1, ping(&mut *connect()?).map_err(JobError::Link)?)?;
            kept.push(since.elapsed());
        }
        return Ok(kept.stop(started, task.count));
    }
    let mut connections: Vec<Box<dyn Connection>> =
        (0..task.links()).map(|_| connect()).collect::<Result<_, _>>()?;
    if task.point.question == Question::Tell {
        let (sample, come) = pour(&mut *connections[0], task).map_err(JobError::Link)?;
        return expect(task.count as u64, come).map(|()| sample);
    }
    let links = connections.len();
    let warm_up = WARM_UP_ASKS.max(links);
    let mut kept = Kept::new(task.count);
    let mut since = Instant::now();
    let mut started = since;
    for turn in 0..warm_up + task.count {
        let answer = ping(&mut *connections[turn % links]).map_err(JobError::Link)?;
        expect((turn / links + 1) as u64, answer)?;
        let now = Instant::now();
        if turn >= warm_up {
            kept.push(now - since);
        } else {
            started = now;
        }
        since = now;
    }
    Ok(kept.stop(started, task.count))
}

fn connect(
    task: &Task,
    far: &Far,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> io::Result<Box<dyn Connection>> {
    let address = &far.addresses()[0];
    if task.point.transport == Transport::Unix {
        return Ok(Box::new(UnixStream::connect(address)?));
    }
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(connection),
        Some(config) => {
            let session =
                rustls::ClientConnection::new(Arc::clone(config), tls::name()).map_err(io::Error::other)?;
            Box::new(rustls::StreamOwned::new(session, connection))
        }
    })
}

fn ping(connection: &mut dyn Connection) -> io::Result<u64> {
    connection.write_all(&[7; ANSWER_BYTES])?;
    connection.flush()?;
    answer(connection)
}

fn answer(connection: &mut dyn Connection) -> io::Result<u64> {
    let mut answer = [0; ANSWER_BYTES];
    connection.read_exact(&mut answer)?;
    Ok(u64::from_le_bytes(answer))
}

/// Sends, and returns how many have come as well.
fn pour(connection: &mut dyn Connection, task: &Task) -> io::Result<(Sample, u64)> {
    let bytes = task.point.question.bytes();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut message = vec![7; bytes];
    let started = Instant::now();
    for sequence in 0..task.count {
        message[..8].copy_from_slice(&(sequence as u64).to_le_bytes());
        buffer.extend_from_slice(&message);
        if buffer.len() + bytes > BUFFER_BYTES {
            connection.write_all(&buffer)?;
            buffer.clear();
        }
    }
    connection.write_all(&buffer)?;
    connection.flush()?;
    connection.finish()?;
    let come = answer(connection)?;
    Ok((Kept::new(0).stop(started, task.count), come))
}
