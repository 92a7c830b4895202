//! Checks that look at several roles at once: needs, ids, addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use odeon_core::{Address, Role, ServerId, suggest};
use toml::Spanned;

use super::ENSEMBLE_SERVERS_MAX;
use super::code::ErrorCode;
use super::network::{NetworkDraft, TlsUse, any_port, host_port};
use super::reader;
use super::report::Report;
use super::role_reader::RoleDraft;
use crate::registry::REGISTRY;
use crate::supervisor::SUPERVISOR;

/// Names of the servers every ensemble has.
const RESERVED: [&str; 2] = [SUPERVISOR, REGISTRY];

/// The roles read so far, each with the place of its name.
type Drafts = BTreeMap<Role, (Range<usize>, RoleDraft)>;

/// Every needed role exists, and none needs itself through others. `names` are all roles of the file, those
/// included whose table is wrong.
pub(super) fn needs(drafts: &Drafts, names: &[&str], report: &mut Report<'_>) {
    for (role, (_, draft)) in drafts {
        for need in &draft.needs {
            let wanted = need.get_ref().as_str();
            if names.contains(&wanted) {
                continue;
            }
            let others = names.iter().copied().filter(|name| *name != role.as_str());
            let help = match suggest(wanted, others.clone()) {
                Some(near) => near.to_string(),
                None if others.clone().next().is_none() => "the file describes no other role".to_owned(),
                None => format!("the other roles are {}", reader::quoted(others)),
            };
            let message = format!("role `{role}` needs `{wanted}`, which is not described");
            report.add(ErrorCode::UnknownRole, need.span(), message, help);
        }
    }
    let mut search = CycleSearch { drafts, path: Vec::new(), done: BTreeSet::new() };
    for role in drafts.keys() {
        search.visit(role, report);
    }
}

/// A search in depth for circles; as deep as there are roles, of which there are few.
#[derive(Debug)]
struct CycleSearch<'d> {
    drafts: &'d Drafts,
    path: Vec<&'d Role>,
    done: BTreeSet<&'d Role>,
}

impl<'d> CycleSearch<'d> {
    fn visit(&mut self, role: &'d Role, report: &mut Report<'_>) {
        let Some((_, draft)) = self.drafts.get(role).filter(|_| !self.done.contains(role)) else {
            return;
        };
        self.path.push(role);
        for need in &draft.needs {
            if let Some(start) = self.path.iter().position(|on_path| *on_path == need.get_ref()) {
                let circle = self.path[start..].iter().copied().chain([need.get_ref()]);
                let circle: Vec<_> = circle.map(|role| format!("`{role}`")).collect();
                let message = format!("a circle of needs: {}", circle.join(" needs "));
                let help = "nothing in it could start first: remove one of these needs".to_owned();
                report.add(ErrorCode::NeedsCycle, need.span(), message, help);
            } else {
                self.visit(need.get_ref(), report);
            }
        }
        self.path.pop();
        self.done.insert(role);
    }
}

/// No two servers have one id, none has a service's, and there are not too many.
pub(super) fn ids(drafts: &Drafts, report: &mut Report<'_>) {
    let mut owners: BTreeMap<&ServerId, &Role> = BTreeMap::new();
    let mut total = 0;
    for (role, (span, draft)) in drafts {
        total += draft.config.servers.len();
        if total > ENSEMBLE_SERVERS_MAX {
            let message = format!("with role `{role}` the file describes {total} servers");
            let help = format!("expected {ENSEMBLE_SERVERS_MAX} at most over all roles");
            report.add(ErrorCode::TooMany, span.clone(), message, help);
            return;
        }
        for (id, span) in draft.config.servers.iter().zip(&draft.server_spans) {
            let name = id.name();
            if RESERVED.contains(&name) {
                let message = format!("the server name `{name}` is taken by the ensemble's own {name}");
                let help = "choose another name".to_owned();
                report.add(ErrorCode::DuplicateId, span.clone(), message, help);
            } else if let Some(owner) = owners.insert(id, role) {
                let message = if owner == role {
                    format!("role `{role}` has the server `{name}` twice")
                } else {
                    format!("the server `{name}` of role `{role}` is one of role `{owner}` as well")
                };
                let help = "every server of an ensemble has its own name: change one of them".to_owned();
                report.add(ErrorCode::DuplicateId, span.clone(), message, help);
            }
        }
    }
}

/// No address with a fixed port is wanted twice. Only equal texts are found; the system finds the rest.
pub(super) fn addresses(network: &NetworkDraft, drafts: &Drafts, report: &mut Report<'_>) {
    let mut taken = BTreeMap::new();
    for address in &network.registry_listen {
        claim(&mut taken, address, "the registry".to_owned(), report);
    }
    for address in &network.supervisor_listen {
        claim(&mut taken, address, "the supervisor".to_owned(), report);
    }
    let of_servers = drafts.values().flat_map(|(_, draft)| &draft.address);
    for address in network.registry_listen.iter().chain(&network.supervisor_listen).chain(of_servers) {
        if network.tls == TlsUse::Never && matches!(address.get_ref(), Address::Tls(_)) {
            let message = format!("`{}` needs a certificate, and `tls` is false", address.get_ref());
            let help = "remove `tls = false`, or the address".to_owned();
            report.add(ErrorCode::Conflict, address.span(), message, help);
        }
    }
    for (role, (_, draft)) in drafts {
        for address in &draft.listen {
            claim(&mut taken, address, format!("role `{role}`"), report);
        }
        for address in &draft.address {
            let servers = draft.config.servers.len();
            if servers > 1 && !any_port(address.get_ref()) {
                let message =
                    format!("{servers} servers of role `{role}` cannot share `{}`", address.get_ref());
                let help = "use port 0, or `listen` for a socket that is shared".to_owned();
                report.add(ErrorCode::DuplicateAddress, address.span(), message, help);
            }
            claim(&mut taken, address, format!("the servers of role `{role}`"), report);
        }
    }
}

fn claim<'d>(
    taken: &mut BTreeMap<(&'d str, &'d str), String>,
    address: &'d Spanned<Address>,
    owner: String,
    report: &mut Report<'_>,
) {
    // TLS stands on TCP: the two kinds share their ports.
    let Some(place) = host_port(address.get_ref()).filter(|_| !any_port(address.get_ref())) else {
        return;
    };
    if let Some(first) = taken.get(&place) {
        let message = format!("`{}` of {owner} is taken by {first} already", address.get_ref());
        let help = "give one of them another port, or port 0".to_owned();
        report.add(ErrorCode::DuplicateAddress, address.span(), message, help);
    } else {
        taken.insert(place, owner);
    }
}
