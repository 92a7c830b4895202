//! What an earlier supervisor left running, and the listening sockets that live on in its shims.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use odeon_core::{Address, Domain, Role, ServerId};
use odeon_server::Home;

use super::service::{SupervisorError, supervisor_id};
use crate::config::Ensemble;
use crate::process::sockets::{ListenAddr, bind};
use crate::process::{Adopted, Child};

/// Deepest directory below `servers` that is looked at: a domain has at most 127 segments.
const DEPTH_MAX: usize = 130;

/// The processes that run under shims of this home, but for those of another domain whose supervisor is there.
pub(super) async fn running(
    home: &Home,
    domain: &Domain,
) -> Result<BTreeMap<ServerId, Arc<Child>>, SupervisorError> {
    let mut found = BTreeMap::new();
    for directory in shim_directories(&home.root().join("servers")) {
        match Child::adopt(&directory).await.map_err(SupervisorError::Adopt)? {
            Adopted::Running(child) => {
                let id = child.state().id.parse::<ServerId>().map_err(SupervisorError::Name)?;
                if id.domain() == domain || !is_supervised(home, id.domain()) {
                    found.insert(id, Arc::new(*child));
                }
            }
            Adopted::Exited(_) | Adopted::Gone => {}
        }
    }
    Ok(found)
}

/// Whether the supervisor of a domain listens.
fn is_supervised(home: &Home, domain: &Domain) -> bool {
    UnixStream::connect(home.socket(&supervisor_id(domain), "sock")).is_ok()
}

/// The directories of servers in which a shim has left its record.
fn shim_directories(servers: &Path) -> Vec<PathBuf> {
    let mut open = vec![(servers.to_owned(), 0)];
    let mut found = Vec::new();
    while let Some((directory, depth)) = open.pop() {
        // A directory that cannot be read holds nothing that this user has started.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if path.join("shim.json").exists() {
                found.push(path);
            } else if depth < DEPTH_MAX && !entry.file_name().as_encoded_bytes().starts_with(b"@") {
                open.push((path, depth + 1));
            }
        }
    }
    found.sort();
    found
}

/// The listening sockets of every role: those that running processes still have, else new ones.
pub(super) async fn sockets(
    ensemble: &Ensemble,
    running: &BTreeMap<ServerId, Arc<Child>>,
) -> Result<BTreeMap<Role, Vec<TcpListener>>, SupervisorError> {
    let mut all = BTreeMap::new();
    let mut kept = kept_sockets(running).await;
    for (role, config) in &ensemble.roles {
        let mut sockets = Vec::new();
        for address in &config.listen {
            // Any port will do for port 0, but not one that was another role's; a port that is named is the
            // same socket whoever had it.
            let is_it = |(id, socket): &(ServerId, TcpListener)| {
                fits(socket, address) && (config.servers.contains(id) || !asks_for_any_port(address))
            };
            let at = kept.iter().position(is_it);
            sockets.push(match at {
                Some(at) => kept.swap_remove(at).1,
                None => listen(address)?,
            });
        }
        all.insert(role.clone(), sockets);
    }
    Ok(all)
}

/// Each socket once, with one of the servers that have it.
async fn kept_sockets(running: &BTreeMap<ServerId, Arc<Child>>) -> Vec<(ServerId, TcpListener)> {
    let mut kept = BTreeMap::new();
    for (id, child) in running {
        // One that cannot be asked is stopped or replaced before long; its port is then missed, and said so.
        for (_, fd) in child.sockets().await.into_iter().flatten() {
            let socket = TcpListener::from(fd);
            if let Ok(at) = socket.local_addr() {
                kept.entry(at).or_insert_with(|| (id.clone(), socket));
            }
        }
    }
    kept.into_values().collect()
}

/// Whether a socket is the one that an address asks for; port 0 asks for any.
fn fits(socket: &TcpListener, address: &Address) -> bool {
    let (Ok(local), Ok(wanted)) = (socket.local_addr(), address.to_string().parse::<ListenAddr>()) else {
        return false;
    };
    let wanted = wanted.socket_addr();
    local.ip() == wanted.ip() && (wanted.port() == 0 || wanted.port() == local.port())
}

fn asks_for_any_port(address: &Address) -> bool {
    address.to_string().parse::<ListenAddr>().is_ok_and(|wanted| wanted.socket_addr().port() == 0)
}

fn listen(address: &Address) -> Result<TcpListener, SupervisorError> {
    let fail = |source: io::Error| SupervisorError::Listen { address: address.clone(), source };
    let wanted: ListenAddr = address
        .to_string()
        .parse()
        .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    bind(&wanted).map_err(|error| {
        let source = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        fail(io::Error::other(source))
    })
}
