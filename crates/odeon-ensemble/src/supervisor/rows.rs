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
    use super::*;

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
}
