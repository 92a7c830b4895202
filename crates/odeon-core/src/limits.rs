//! Every limit that more than one crate must agree on, with its reason.

use std::time::Duration;

/// Longest segment of a name, in bytes: what DNS labels allow, so that names fit wherever host names do.
pub const SEGMENT_BYTES_MAX: usize = 63;

/// Longest domain, in bytes; bounds every table keyed by one.
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Longest mark, in bytes, `#method` included; it stands in the type table of every link.
pub const MARK_BYTES_MAX: usize = 200;

/// Longest capability, in bytes: a verb, and the two segments of what it is for.
pub const CAPABILITY_BYTES_MAX: usize = 127;

/// Longest host name or host id of an address, in bytes: what DNS allows, rounded up.
pub const HOST_BYTES_MAX: usize = 255;

/// Longest socket path, in bytes: `sockaddr_un` holds 108 with the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Deepest nesting of a decoded payload. A derived decoder recurses once per level, on the stack.
pub const PAYLOAD_DEPTH_MAX: usize = 128;

/// Longest text of a shape, in bytes; a type with a longer one is opaque. It is written once per type and program.
pub const SHAPE_BYTES_MAX: usize = 64 * 1024;

/// Largest frame on a link by default, in bytes, its length prefix excluded.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest frame before a peer has proven who it is, in bytes: a hello with a long id and many features fits.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Time for the whole handshake, from the first byte to the last proof.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an ask waits when the caller does not say.
pub const REPLY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How long a looked-up address is believed.
pub const ADDRESS_CACHE_TTL: Duration = Duration::from_secs(300);

/// Most addresses of one server: more than it has ways to be reached, and each may cost whoever connects a
/// timeout.
pub const ADDRESSES_MAX: usize = 16;

/// A lease's life without renewal.
pub const LEASE_TTL: Duration = Duration::from_secs(15);

/// How often a lease is renewed: three tries fit in one life.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(5);
