//! A connection that secures itself: whatever is first read or written drives the handshake of TLS.
//!
//! So a link's driver needs to know nothing of it: the handshake runs in the link's own task, within the link's
//! own deadline, and a failure is the loss of the connection, with a sentence that says why. Who is welcomed computes
//! in turns (`turns`); nothing of TLS is set up before the first one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use odeon_auth::{Cookie, TlsContext, tls};
use odeon_core::seam::Stream;
use odeon_core::{ServerId, chain};
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use tokio_rustls::{Connect, FallibleAccept, TlsAcceptor, TlsConnector, TlsStream};

use super::channel::{Secured, Security};
use super::paced::Paced;
use super::turns::Turns;
use crate::strangers::Source;

/// Names what both ends derive from a TLS connection, so that it serves nothing else.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-odeon-link";

/// Bytes that are read of a dialler which is refused: what it may have sent before it knows.
const REFUSED_BYTES_MAX: usize = 64 * 1024;

/// A connection that secures itself.
pub(crate) struct SecureStream {
    state: State,
    context: TlsContext,
    /// Whom the dialler wants to reach.
    wanted: Option<ServerId>,
    security: Arc<Security>,
    /// Something written may not have left yet.
    is_unflushed: bool,
}

enum State {
    Dialling(Connect<Paced>),
    /// The dialler has said nothing, or it is not its turn.
    Arrived(Paced),
    Welcoming(FallibleAccept<Paced>),
    Open(TlsStream<Paced>),
    /// The dialler is to read why it was refused: a connection closed over unread bytes is reset, and the reset
    /// can overtake that. So what still comes is thrown away until the dialler closes, or has sent too much.
    Refusing {
        stream: Paced,
        left: usize,
        kind: io::ErrorKind,
        why: String,
    },
    Failed(io::ErrorKind, String),
}

impl SecureStream {
    /// The dialler's end.
    pub(crate) fn dial(
        context: &TlsContext,
        stream: Box<dyn Stream>,
        wanted: ServerId,
        security: Arc<Security>,
    ) -> Self {
        let dialling =
            TlsConnector::from(context.client_config()).connect(tls::server_name(), Paced::free(stream));
        let (state, context) = (State::Dialling(dialling), context.clone());
        Self { state, context, wanted: Some(wanted), security, is_unflushed: false }
    }

    /// The listener's end, of a connection from `source`.
    pub(crate) fn welcome(
        context: &TlsContext,
        stream: Box<dyn Stream>,
        turns: Arc<Turns>,
        source: Source,
        security: Arc<Security>,
    ) -> Self {
        let stream = Paced::new(stream, turns, source);
        let (state, context) = (State::Arrived(stream), context.clone());
        Self { state, context, wanted: None, security, is_unflushed: false }
    }

    /// The secured connection, once there is one.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<Paced>>> {
        let opened = match &mut self.state {
            State::Dialling(dialling) => match ready!(Pin::new(dialling).poll(cx)) {
                Ok(stream) => self.look_at(stream.into()),
                Err(error) => Err(self.explain(error)),
            },
            State::Arrived(stream) => match ready!(stream.poll_turn(cx)) {
                Err(error) => Err(error),
                Ok(()) => {
                    self.begin();
                    return self.poll_open(cx);
                }
            },
            State::Welcoming(welcoming) => match ready!(Pin::new(welcoming).poll(cx)) {
                Ok(stream) => self.look_at(stream.into()),
                Err((error, mut stream)) => {
                    stream.end();
                    let error = self.explain(error);
                    let (kind, why) = (error.kind(), error.to_string());
                    self.state = State::Refusing { stream, left: REFUSED_BYTES_MAX, kind, why };
                    return self.poll_open(cx);
                }
            },
            State::Refusing { stream, left, kind, why } => {
                ready!(poll_refused(stream, left, cx));
                Err(io::Error::new(*kind, std::mem::take(why)))
            }
            State::Open(_) | State::Failed(..) => return Poll::Ready(self.opened()),
        };
        self.state = match opened {
            Ok(stream) => State::Open(stream),
            Err(error) => State::Failed(error.kind(), error.to_string()),
        };
        self.is_unflushed = true;
        Poll::Ready(self.opened())
    }

    /// TLS begins.
    fn begin(&mut self) {
        let none = State::Failed(io::ErrorKind::NotConnected, String::new());
        self.state = match std::mem::replace(&mut self.state, none) {
            State::Arrived(stream) => {
                let acceptor = TlsAcceptor::from(self.context.server_config());
                State::Welcoming(acceptor.accept(stream).into_fallible())
            }
            other => other,
        };
    }

    fn opened(&mut self) -> io::Result<&mut TlsStream<Paced>> {
        match &mut self.state {
            State::Open(stream) => Ok(stream),
            // Whoever reads hears the same as whoever writes.
            State::Failed(kind, why) => Err(io::Error::new(*kind, why.clone())),
            _ => Err(io::Error::new(io::ErrorKind::NotConnected, "the connection is not secured yet")),
        }
    }

    /// Sees who is at the other end.
    fn look_at(&self, mut stream: TlsStream<Paced>) -> io::Result<TlsStream<Paced>> {
        stream.get_mut().0.end();
        let refused = |why: String| {
            self.security.deny();
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let certificate = tls::peer(stream.get_ref().1).map_err(|e| refused(chain(&e)))?;
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| **wanted != certificate.server) {
            return Err(refused(format!(
                "the certificate there is {}'s, not {wanted}'s",
                certificate.server
            )));
        }
        let key = match &stream {
            TlsStream::Client(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None)
            }
            TlsStream::Server(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None)
            }
        };
        let key = key.map_err(|e| io::Error::other(format!("no key can be derived from TLS: {e}")))?;
        let shown = self.context.shown(stream.get_ref().1, matches!(stream, TlsStream::Client(_)));
        let shown = shown.ok_or_else(|| refused("the peer has shown no certificate".to_owned()))?;
        let key = Cookie::from_bytes(key);
        self.security.secured(Secured { certificate: Arc::new(certificate), shown, key });
        Ok(stream)
    }

    /// The error in words that say whose certificate it is about.
    fn explain(&self, error: io::Error) -> io::Error {
        let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return error;
        };
        let (is_denied, why) = match (tls::refusal(cause), cause) {
            (Some(refusal), _) => (true, format!("the peer's certificate is refused: {}", chain(&refusal))),
            (None, rustls::Error::AlertReceived(alert)) if is_about_certificates(*alert) => {
                (true, format!("the peer does not accept this server's certificate: {alert:?}"))
            }
            (None, rustls::Error::AlertReceived(alert)) => {
                (false, format!("the peer broke TLS off: {alert:?}"))
            }
            (None, other) => (false, format!("TLS failed: {other}")),
        };
        if is_denied {
            self.security.deny();
        }
        io::Error::new(error.kind(), why)
    }

    /// Has what was written leave. Whoever writes is told that bytes were taken when they are in the buffers of
    /// TLS, and does not ask again once nothing is left to write.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_unflushed
            && let State::Open(stream) = &mut self.state
            && let Poll::Ready(flushed) = Pin::new(stream).poll_flush(cx)
        {
            self.is_unflushed = false;
            flushed.map_err(|error| self.explain(error))?;
        }
        Ok(())
    }
}

/// Ready when the peer has closed, or has sent enough.
fn poll_refused(stream: &mut Paced, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    // Whatever comes of it, there is nothing more to be said.
    let _ = Pin::new(&mut *stream).poll_shutdown(cx);
    let mut bytes = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        let n = buffer.filled().len();
        *left = left.saturating_sub(n);
        if read.is_err() || n == 0 || *left == 0 {
            return Poll::Ready(());
        }
    }
}

const fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

impl AsyncRead for SecureStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_open(cx))?;
        this.poll_flushed(cx)?;
        let read = ready!(Pin::new(this.opened()?).poll_read(cx, buffer));
        Poll::Ready(match read {
            // TLS cannot tell whether something was cut off. The session can: its last frame says that it is.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read.map_err(|error| this.explain(error)),
        })
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_open(cx))?;
        let wrote = ready!(Pin::new(this.opened()?).poll_write(cx, bytes));
        this.is_unflushed = true;
        Poll::Ready(wrote.map_err(|error| this.explain(error)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_open(cx))?;
        Pin::new(this.opened()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Pin::new(this.opened()?).poll_shutdown(cx)
    }
}

impl fmt::Debug for SecureStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureStream").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
