//! What the servers to come have in common, as one value that is passed around.
//!
//! There is no state of the process behind it: several of them live beside each other, and a server takes what its
//! configuration was given. A change concerns the configurations made after it; what runs is changed at the server
//! itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use odeon_core::limits::{ADDRESS_CACHE_TTL, REPLY_TIMEOUT_DEFAULT};
use odeon_core::{Address, ServerId};

use crate::config::ServerConfig;

/// What the servers to come have in common. Cheap to clone: all clones are one value.
///
/// ```
/// # use std::time::Duration;
/// # use odeon_server::ServerDefaults;
/// let defaults = ServerDefaults::new();
/// let registry = "registry@/shop".parse()?;
/// defaults.know(registry, vec!["tcp:10.0.0.1:7000".parse()?]);
/// defaults.set_reply_timeout(Duration::from_secs(2));
/// assert_eq!(defaults.clone().known_servers().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct ServerDefaults(Arc<Mutex<Values>>);

#[derive(Debug)]
struct Values {
    known: BTreeMap<ServerId, Vec<Address>>,
    reply_timeout: Duration,
    address_cache_ttl: Duration,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            reply_timeout: REPLY_TIMEOUT_DEFAULT,
            address_cache_ttl: ADDRESS_CACHE_TTL,
        }
    }
}

impl ServerDefaults {
    /// No known servers, and the times that a server has by itself.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers whose addresses are known beforehand, the registry of a domain among them.
    #[must_use]
    pub fn known_servers(&self) -> BTreeMap<ServerId, Vec<Address>> {
        self.values().known.clone()
    }

    /// Replaces all of them.
    pub fn set_known_servers(&self, known: BTreeMap<ServerId, Vec<Address>>) {
        self.values().known = known;
    }

    /// Adds one, or replaces its addresses: a registry's, for instance.
    pub fn know(&self, server: ServerId, addresses: Vec<Address>) {
        self.values().known.insert(server, addresses);
    }

    /// How long asks wait that do not say.
    #[must_use]
    pub fn reply_timeout(&self) -> Duration {
        self.values().reply_timeout
    }

    /// Sets how long asks wait that do not say.
    pub fn set_reply_timeout(&self, timeout: Duration) {
        self.values().reply_timeout = timeout;
    }

    /// How long an address that was looked up is believed.
    #[must_use]
    pub fn address_cache_ttl(&self) -> Duration {
        self.values().address_cache_ttl
    }

    /// Sets how long an address that was looked up is believed.
    pub fn set_address_cache_ttl(&self, ttl: Duration) {
        self.values().address_cache_ttl = ttl;
    }

    pub(crate) fn apply(&self, config: &mut ServerConfig) {
        let values = self.values();
        for (server, addresses) in &values.known {
            config.known.entry(server.clone()).or_insert_with(|| addresses.clone());
        }
        config.reply_timeout = values.reply_timeout;
        config.limits.address_cache_ttl = values.address_cache_ttl;
    }
}

impl fmt::Debug for ServerDefaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values().fmt(f)
    }
}
