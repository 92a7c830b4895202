//! What the supervisor shows and takes: rows of lists, selections of servers, events.

use odeon_actor::message;
use odeon_core::{Domain, Role, ServerId};

use super::plan::{Plan, StepKind};
use super::state::{ProcessStatus, StateChange};

/// One supervised server, as `ps` shows it.
#[message(mark = "server-row/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// The server.
    pub id: ServerId,
    /// Its role.
    pub role: Role,
    /// Its process.
    pub process: ProcessStatus,
    /// How long the process runs, in milliseconds.
    pub uptime_ms: Option<u64>,
    /// Where it listens for the role's clients; port 0 is resolved.
    pub listen: Vec<String>,
    /// What the supervisor did to have this process: it started it, kept one that it found, or replaced one.
    pub origin: StepKind,
}

/// Which servers are meant: those named, or those of a role, or those of a domain and below; all, if nothing
/// is said. What is said must hold together.
#[message(mark = "selection/1")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These servers.
    #[serde(default)]
    pub ids: Vec<ServerId>,
    /// Servers of this role.
    #[serde(default)]
    pub role: Option<Role>,
    /// Servers of this domain and below.
    #[serde(default)]
    pub domain: Option<Domain>,
}

impl Selection {
    /// These servers.
    #[must_use]
    pub fn of(ids: Vec<ServerId>) -> Self {
        Self { ids, ..Self::default() }
    }

    /// Whether a server is meant.
    #[must_use]
    pub fn takes(&self, id: &ServerId, role: &Role) -> bool {
        (self.ids.is_empty() || self.ids.contains(id))
            && self.role.as_ref().is_none_or(|wanted| wanted == role)
            && self.domain.as_ref().is_none_or(|domain| domain.contains(id.domain()))
    }
}

/// What happens under a supervisor, for whoever runs it in the foreground.
#[derive(Debug, Clone)]
pub enum SupervisorEvent {
    /// What it will do, having looked at what runs already.
    Planned(Plan),
    /// A process of an earlier supervisor was taken over.
    Adopted {
        /// The server.
        id: ServerId,
        /// Its process.
        pid: i32,
    },
    /// A server's process has entered another state.
    Changed {
        /// The server.
        id: ServerId,
        /// From what to what, and why.
        change: StateChange,
        /// Its process, if there is one.
        pid: Option<i32>,
    },
}

#[cfg(test)]
mod tests {
    use odeon_actor::Actor as _;
    use odeon_core::{Encoding, decode, encode};

    use super::*;
    use crate::registry::RegistryActor;
    use crate::supervisor::Supervisor;
    use crate::supervisor::state::Phase;

    #[test]
    fn a_selection_narrows_by_all_that_is_said() {
        let id: ServerId = "web-0@/shop/eu1".parse().expect("an id");
        let web: Role = "web".parse().expect("a role");
        let shop = |text: &str| Some(text.parse().expect("a domain"));
        assert!(Selection::default().takes(&id, &web));
        assert!(Selection::of(vec![id.clone()]).takes(&id, &web));
        assert!(!Selection::of(vec!["web-1@/shop/eu1".parse().expect("an id")]).takes(&id, &web));
        assert!(Selection { domain: shop("/shop"), ..Selection::default() }.takes(&id, &web));
        assert!(!Selection { domain: shop("/sho"), ..Selection::default() }.takes(&id, &web));
        let other =
            Selection { ids: vec![id.clone()], role: Some("db".parse().expect("a role")), domain: None };
        assert!(!other.takes(&id, &web));
    }

    /// A supervisor, a database and four workers, one of which has failed.
    fn listed() -> Vec<ServerRow> {
        let row = |role: &str, name: &str, state, why: Option<&str>| ServerRow {
            id: format!("{name}@/shop").parse().expect("an id"),
            role: role.parse().expect("a role"),
            process: ProcessStatus {
                state,
                state_age_ms: 86_400_000,
                pid: Some(31_245),
                restarts: 2,
                restart_in_ms: None,
                why: why.map(str::to_owned),
                last_exit: why.map(str::to_owned),
                last_lines: Vec::new(),
            },
            uptime_ms: Some(86_400_000),
            listen: vec!["tcp:0.0.0.0:8080".to_owned()],
            origin: StepKind::Start,
        };
        let mut rows =
            vec![row("registry", "registry", Phase::Ready, None), row("db", "db", Phase::Ready, None)];
        rows.extend((0..3).map(|n| row("web", &format!("web-{n}"), Phase::Ready, None)));
        rows.push(row("web", "web-3", Phase::Failed, Some("exited with code 1")));
        rows
    }

    #[test]
    fn an_answer_of_ps_is_a_third_as_long_without_names() {
        let mut lengths = Vec::new();
        for encoding in [Encoding::Cbor, Encoding::Compact] {
            let mut bytes = Vec::new();
            encode(&listed(), encoding, &mut bytes).expect("encodes");
            assert_eq!(decode::<Vec<ServerRow>>(encoding, &bytes), Ok(listed()));
            lengths.push(bytes.len());
        }
        assert!(lengths[1] * 3 <= lengths[0], "{lengths:?}");
    }

    #[test]
    fn every_message_of_supervisor_and_registry_can_travel_without_names() {
        for protocol in [Supervisor::protocol(), RegistryActor::protocol()] {
            for method in protocol.expect("it can be reached").methods {
                assert!((method.fingerprint)().is_some(), "{}", method.mark);
            }
        }
    }
}
