//! How a link travels, and what the channel below it proves.
//!
//! TLS stands above the network seam: for a `tls:` address the network makes and accepts plain connections, and
//! what is here wraps them. So TLS is the same over real sockets and over those of a test. The hello of
//! `odeon-wire` runs inside, as over every transport; its proof is then made not with the cookie but with a key
//! that both ends of this one TLS connection derive, and nobody between them can. So the hello belongs to the
//! channel, and the channel's certificate says who spoke it.

mod channel;
mod paced;
mod refresh;
mod stream;
mod turns;

use std::sync::Arc;

use odeon_auth::TlsContext;
use odeon_core::ServerId;
use odeon_core::seam::{Connection, PeerCredentials, Stream};

use self::channel::Security;
use self::stream::SecureStream;

pub(crate) use channel::Channel;
pub use channel::{CONSOLE, LinkCertificate, Transport};
pub use refresh::Refreshed;
pub(crate) use refresh::{refresh, revoked};
pub(crate) use turns::Turns;

use crate::strangers::Source;

/// The dialler's end of a connection: secured to be `wanted`'s.
pub(crate) fn dial(context: &TlsContext, connection: Connection, wanted: &ServerId) -> (Connection, Channel) {
    secured(connection, |stream, security| SecureStream::dial(context, stream, wanted.clone(), security))
}

/// The listener's end of a connection: its handshake computes in `turns`.
pub(crate) fn welcome(
    context: &TlsContext,
    connection: Connection,
    turns: &Arc<Turns>,
) -> (Connection, Channel) {
    let (turns, source) = (Arc::clone(turns), Source::of(&connection.remote));
    secured(connection, |stream, security| SecureStream::welcome(context, stream, turns, source, security))
}

fn secured(
    connection: Connection,
    secure: impl FnOnce(Box<dyn Stream>, Arc<Security>) -> SecureStream,
) -> (Connection, Channel) {
    let security = Arc::<Security>::default();
    let stream = Box::new(secure(connection.stream, Arc::clone(&security)));
    // Who the peer is comes from its certificate alone.
    let credentials = PeerCredentials::default();
    (Connection { stream, credentials, ..connection }, Channel::tls(security))
}
