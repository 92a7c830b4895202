//! What an earlier supervisor left running, and the listening sockets that live on in its shims.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use odeon_core::{Address, Role, ServerId};
use odeon_server::Home;

use super::service::SupervisorError;
use crate::config::Ensemble;
use crate::process::sockets::{ListenAddr, bind};
use crate::process::{Adopted, Child};

/// Deepest directory below `servers` that is looked at: a domain has at most 127 segments.
const DEPTH_MAX: usize = 130;

/// The processes that run under shims of this home.
pub(super) async fn running(
    home: &Home,
    supervisor: &ServerId,
) -> Result<BTreeMap<ServerId, Arc<Child>>, SupervisorError> {
    let mut found = BTreeMap::new();
    // A supervisor in the background runs under a shim too; it does not supervise itself.
    let own = home.server(supervisor);
    for directory in shim_directories(&home.root().join("servers")).into_iter().filter(|path| *path != own) {
        match Child::adopt(&directory).await.map_err(SupervisorError::Adopt)? {
            Adopted::Running(child) => {
                let id = child.state().id.parse::<ServerId>().map_err(SupervisorError::Name)?;
                found.insert(id, Arc::new(*child));
            }
            Adopted::Exited(_) | Adopted::Gone => {}
        }
    }
    Ok(found)
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

/// The listening sockets of every role: those that a running process of the role still has, else new ones.
pub(super) async fn sockets(
    ensemble: &Ensemble,
    running: &BTreeMap<ServerId, Arc<Child>>,
) -> Result<BTreeMap<Role, Vec<TcpListener>>, SupervisorError> {
    let mut all = BTreeMap::new();
    for (role, config) in &ensemble.roles {
        let mut sockets = Vec::new();
        let mut kept = kept_sockets(config.servers.iter().filter_map(|id| running.get(id))).await;
        for address in &config.listen {
            let at = kept.iter().position(|socket| fits(socket, address));
            sockets.push(match at {
                Some(at) => kept.swap_remove(at),
                None => listen(address)?,
            });
        }
        all.insert(role.clone(), sockets);
    }
    Ok(all)
}

async fn kept_sockets(children: impl Iterator<Item = &Arc<Child>>) -> Vec<TcpListener> {
    for child in children {
        if let Ok(sockets) = child.sockets().await
            && !sockets.is_empty()
        {
            return sockets.into_iter().map(|(_, fd)| TcpListener::from(fd)).collect();
        }
    }
    Vec::new()
}

/// Whether a socket is the one that an address asks for; port 0 asks for any.
fn fits(socket: &TcpListener, address: &Address) -> bool {
    let (Ok(local), Ok(wanted)) = (socket.local_addr(), address.to_string().parse::<ListenAddr>()) else {
        return false;
    };
    let wanted = wanted.socket_addr();
    local.ip() == wanted.ip() && (wanted.port() == 0 || wanted.port() == local.port())
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
