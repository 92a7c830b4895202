//! Reads who may do what: `strict`, `[auth]`, and `auth` of a role.

use std::collections::BTreeMap;

use odeon_core::{Capabilities, Capability, Domain, Role, ServerId};
use serde::{Deserialize, Serialize};

use super::code::ErrorCode;
use super::ensemble::Ensemble;
use super::reader::{self, Section};
use super::report::Report;
use super::{AUTH_BYTES_MAX, LIST_ITEMS_MAX};

/// What the file says of who may do what at a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthConfig {
    /// Whether a process of the same user is nobody special over a unix socket.
    pub strict: bool,
    /// What each server may do, by its id.
    pub auth: BTreeMap<ServerId, Capabilities>,
}

impl AuthConfig {
    pub(super) fn read(top: &Section<'_>, domain: &Domain, report: &mut Report<'_>) -> Self {
        let strict = top.truth("strict", report).unwrap_or_default();
        Self { strict, auth: read_auth(top, domain, report) }
    }
}

impl Ensemble {
    /// Who may do what at the servers of a role: what the whole file says, and what the role adds.
    #[must_use]
    pub fn auth_of(&self, role: &Role) -> AuthConfig {
        let mut all = self.auth.clone();
        for (id, more) in self.roles.get(role).into_iter().flat_map(|config| &config.auth) {
            let held = all.auth.entry(id.clone()).or_default();
            *held = held.iter().chain(more.iter()).cloned().collect();
        }
        all
    }
}

/// The table `auth`: lists of capabilities by server id; a bare name is one of the file's domain.
pub(super) fn read_auth(
    section: &Section<'_>,
    domain: &Domain,
    report: &mut Report<'_>,
) -> BTreeMap<ServerId, Capabilities> {
    let mut auth = BTreeMap::new();
    let Some(table) = section.table("auth", report) else {
        return auth;
    };
    let span = section.span("auth").unwrap_or_default();
    reader::within_list_limit("auth", table.len(), span, report);
    // Every key may be there, so none is unknown.
    let names: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
    let entries = Section::new("`auth`", table, &names, report);
    for key in table.keys().take(LIST_ITEMS_MAX) {
        let name = key.get_ref().as_ref();
        let id = ServerId::parse_in(name, domain);
        if let Err(error) = &id {
            let help = "expected the id of a server, such as `\"web-0@/\"`".to_owned();
            report.add(ErrorCode::BadName, key.span(), error.to_string(), help);
        }
        let held = read_capabilities(&entries, name, report);
        if let (Ok(id), Some(held)) = (id, held) {
            auth.insert(id, held);
        }
    }
    let bytes = serde_json::to_vec(&auth).map_or(0, |json| json.len());
    if bytes > AUTH_BYTES_MAX {
        let message = format!("`auth` takes {bytes} bytes");
        let help = format!("expected {AUTH_BYTES_MAX} at most: grants can say the rest");
        report.add(ErrorCode::TooMany, section.span("auth").unwrap_or_default(), message, help);
    }
    auth
}

fn read_capabilities(entries: &Section<'_>, name: &str, report: &mut Report<'_>) -> Option<Capabilities> {
    let mut held = Vec::new();
    for text in entries.texts(name, report)? {
        match text.get_ref().parse::<Capability>() {
            Ok(capability) => held.push(capability),
            Err(error) => {
                let help = "expected a capability such as `shutdown` or `watch:cart/public`".to_owned();
                report.add(ErrorCode::BadName, text.span(), error.to_string(), help);
            }
        }
    }
    Some(held.into_iter().collect())
}
