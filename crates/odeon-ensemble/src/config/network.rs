//! Reads what the file says about other hosts: where the registry is, who is known, whether TLS is used.

use std::collections::BTreeMap;

use odeon_core::{Address, Domain, ServerId};
use serde::Serialize;
use toml::Spanned;

use super::code::ErrorCode;
use super::reader::{self, Listener, Section};
use super::report::Report;
use crate::registry::REGISTRY;

/// What the file says about the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RegistryConfig {
    /// Its id.
    pub id: ServerId,
    /// Whether another host runs it: then none is started here.
    pub elsewhere: bool,
    /// Where it listens, if it runs here.
    #[serde(flatten)]
    pub place: Place,
}

/// Where a server takes links, beside its unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// Addresses it listens at: `tcp:` and `tls:`.
    pub listen: Vec<Address>,
    /// Addresses told to the registry instead, where others reach it by other ones.
    pub announce: Vec<Address>,
}

/// Whether servers use their certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsUse {
    /// Those that have one do.
    #[default]
    IfThere,
    /// All do; one that has none does not start.
    Always,
    /// None does.
    Never,
}

impl TlsUse {
    /// As text, for the environment of a server.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::IfThere => "if-there",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// From its text. What nobody has written counts as nothing said.
    pub(crate) fn named(text: &str) -> Self {
        [Self::Always, Self::Never].into_iter().find(|one| one.name() == text).unwrap_or_default()
    }
}

/// All of it, with the places needed to check it against the roles.
#[derive(Debug)]
pub(super) struct NetworkDraft {
    pub(super) registry: RegistryConfig,
    pub(super) registry_listen: Vec<Spanned<Address>>,
    pub(super) supervisor: Place,
    pub(super) supervisor_listen: Vec<Spanned<Address>>,
    pub(super) known: BTreeMap<ServerId, Vec<Address>>,
    pub(super) tls: TlsUse,
}

impl NetworkDraft {
    pub(super) fn read(top: &Section<'_>, domain: &Domain, report: &mut Report<'_>) -> Self {
        let known = read_known(top, domain, report);
        let (registry, registry_listen) = read_registry(top, domain, &known, report);
        let (supervisor, supervisor_listen) = read_supervisor(top, report);
        let tls = match top.truth("tls", report) {
            None => TlsUse::IfThere,
            Some(true) => TlsUse::Always,
            Some(false) => TlsUse::Never,
        };
        Self { registry, registry_listen, supervisor, supervisor_listen, known, tls }
    }
}

/// `registry = "registry@/"` is one elsewhere, `[registry]` is this ensemble's own.
fn read_registry(
    top: &Section<'_>,
    domain: &Domain,
    known: &BTreeMap<ServerId, Vec<Address>>,
    report: &mut Report<'_>,
) -> (RegistryConfig, Vec<Spanned<Address>>) {
    let own = ServerId::new(REGISTRY, domain.clone()).expect("`registry` is a server name");
    let is_text = top.get("registry").is_some_and(|value| value.get_ref().is_str());
    if !is_text {
        let (place, spanned) = read_place(top, "registry", report);
        return (RegistryConfig { id: own, elsewhere: false, place }, spanned);
    }
    let mut id = own;
    if let Some(text) = top.text("registry", report) {
        match ServerId::parse_in(text.get_ref(), domain) {
            Ok(named) => {
                if !known.contains_key(&named) {
                    let message = format!("nothing says where {named} is");
                    let help = format!("add it: `[known]` with `\"{named}\" = [\"tls:HOST:PORT\"]`");
                    report.add(ErrorCode::Missing, text.span(), message, help);
                }
                id = named;
            }
            Err(error) => {
                let help = "expected a server such as `registry@/`, or a table `[registry]`".to_owned();
                report.add(ErrorCode::BadName, text.span(), error.to_string(), help);
            }
        }
    }
    (RegistryConfig { id, elsewhere: true, place: Place::default() }, Vec::new())
}

fn read_supervisor(top: &Section<'_>, report: &mut Report<'_>) -> (Place, Vec<Spanned<Address>>) {
    let (place, spanned) = read_place(top, "supervisor", report);
    if place.announce.is_empty() {
        reachable_somewhere("`[supervisor]`", &spanned, report);
    }
    (place, spanned)
}

fn read_place(top: &Section<'_>, key: &str, report: &mut Report<'_>) -> (Place, Vec<Spanned<Address>>) {
    let Some(table) = top.table(key, report) else {
        return Default::default();
    };
    let section = Section::new(&format!("`[{key}]`"), table, &["listen", "announce"], report);
    let listen = section.listen_addresses("listen", Listener::Server, report);
    let announce = read_announce(&section, &listen, report);
    (Place { listen: listen.iter().map(|address| address.get_ref().clone()).collect(), announce }, listen)
}

/// What others are told. Port 0 stands for the port that was bound.
pub(super) fn read_announce(
    section: &Section<'_>,
    listen: &[Spanned<Address>],
    report: &mut Report<'_>,
) -> Vec<Address> {
    let announce = section.listen_addresses("announce", Listener::Server, report);
    for address in &announce {
        let is_bound = |other: &Spanned<Address>| is_same_scheme(address.get_ref(), other.get_ref());
        if is_unspecified(address.get_ref()) {
            let message = format!("nobody can reach `{}`", address.get_ref());
            let help = "expected a host name or an address of one network interface".to_owned();
            report.add(ErrorCode::BadAddress, address.span(), message, help);
        } else if any_port(address.get_ref()) && !listen.iter().any(is_bound) {
            let message = format!("`{}` has the port of nothing that is listened at", address.get_ref());
            let help = "give the port, or listen at an address of the same kind".to_owned();
            report.add(ErrorCode::Missing, address.span(), message, help);
        }
    }
    announce.into_iter().map(Spanned::into_inner).collect()
}

/// An address such as `0.0.0.0` tells nobody where to go; without `announce` the server would be found by nobody.
pub(super) fn reachable_somewhere(whose: &str, listen: &[Spanned<Address>], report: &mut Report<'_>) {
    for address in listen.iter().filter(|address| is_unspecified(address.get_ref())) {
        let message = format!("`{}` of {whose} does not say where others find it", address.get_ref());
        let help =
            "add `announce`, with the host by which others reach this one; port 0 there is the port bound";
        report.add(ErrorCode::Missing, address.span(), message, help.to_owned());
    }
}

fn read_known(
    top: &Section<'_>,
    domain: &Domain,
    report: &mut Report<'_>,
) -> BTreeMap<ServerId, Vec<Address>> {
    let mut known = BTreeMap::new();
    let Some(table) = top.table("known", report) else {
        return known;
    };
    reader::within_list_limit("known", table.len(), top.span("known").unwrap_or_default(), report);
    let names: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
    let section = Section::new("`[known]`", table, &names, report);
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        let addresses = section.listen_addresses(name, Listener::Server, report);
        for address in addresses.iter().filter(|address| any_port(address.get_ref())) {
            let message = format!("`{}` is no place to connect to", address.get_ref());
            let help = "give the port at which the server listens".to_owned();
            report.add(ErrorCode::BadAddress, address.span(), message, help);
        }
        match ServerId::parse_in(name, domain) {
            Ok(id) => {
                known.insert(id, addresses.into_iter().map(Spanned::into_inner).collect());
            }
            Err(error) => {
                let help = "expected a server such as `\"registry@/\"`".to_owned();
                report.add(ErrorCode::BadName, key.span(), error.to_string(), help);
            }
        }
    }
    known
}

/// `host:port` of an address that has one.
pub(super) fn host_port(address: &Address) -> Option<(&str, &str)> {
    match address {
        Address::Tcp(text) | Address::Tls(text) => text.rsplit_once(':'),
        Address::Unix { .. } => None,
    }
}

/// Whether the system chooses the port.
pub(crate) fn any_port(address: &Address) -> bool {
    host_port(address).is_some_and(|(_, port)| port.parse() == Ok(0_u16))
}

/// Whether the host means all of this host's interfaces.
pub(crate) fn is_unspecified(address: &Address) -> bool {
    let host = host_port(address).map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'));
    host.and_then(|host| host.parse::<std::net::IpAddr>().ok()).is_some_and(|ip| ip.is_unspecified())
}

pub(crate) fn is_same_scheme(one: &Address, other: &Address) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// What is told to the registry: what the file says, with ports that were bound; else where the server listens,
/// without what means nothing elsewhere. The unix socket always, for the servers of this host.
pub(crate) fn announced(bound: &[Address], announce: &[Address]) -> Vec<Address> {
    let unix = bound.iter().filter(|address| matches!(address, Address::Unix { .. }));
    if announce.is_empty() {
        return bound.iter().filter(|address| !is_unspecified(address)).cloned().collect();
    }
    let port_of = |wanted: &Address| {
        let same = bound.iter().find(|address| is_same_scheme(address, wanted))?;
        host_port(same).map(|(_, port)| port)
    };
    let with_port = |wanted: &Address| match (wanted, host_port(wanted), port_of(wanted)) {
        (Address::Tcp(_), Some((host, _)), Some(port)) if any_port(wanted) => {
            Address::Tcp(format!("{host}:{port}"))
        }
        (Address::Tls(_), Some((host, _)), Some(port)) if any_port(wanted) => {
            Address::Tls(format!("{host}:{port}"))
        }
        _ => wanted.clone(),
    };
    unix.cloned().chain(announce.iter().map(with_port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn what_is_announced_is_what_others_can_use() {
        let bound = addresses(&["unix:h:/s", "tls:0.0.0.0:4999", "tcp:[::]:7", "tcp:10.0.0.1:8"]);
        assert_eq!(announced(&bound, &[]), addresses(&["unix:h:/s", "tcp:10.0.0.1:8"]));
        let said = addresses(&["tls:east.example:0", "tcp:10.0.0.9:1"]);
        let expected = addresses(&["unix:h:/s", "tls:east.example:4999", "tcp:10.0.0.9:1"]);
        assert_eq!(announced(&bound, &said), expected);
    }
}
