//! What `up` will do: the difference between the ensemble's file and what was found running.
//!
//! A [`Plan`] is computed and shown before anything is changed. It holds for the moment at which it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use odeon_core::ServerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Ensemble, ServerSpec};

/// A server's process of an earlier supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The fingerprint of what it was started with.
    pub spec: String,
    /// Whether it still runs.
    pub state: FoundState,
}

/// Whether a found process still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundState {
    /// It does.
    Running,
    /// It has ended while nobody supervised it.
    Ended,
}

/// What is done about one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// It is started; nothing of it runs.
    Start,
    /// It runs as the file wants it: it is adopted as it is.
    Keep,
    /// It runs with another configuration: it is stopped, then started.
    Replace,
    /// It is not in the file: it is stopped.
    Stop,
}

/// One server's part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// To which server.
    pub id: ServerId,
}

/// What is done, in order: first all of `stops`, then wave after wave. The steps of one list may be done at the
/// same time; the next wave begins when every server of the last one is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Servers that are not in the file. They go first: they may hold what the others need.
    pub stops: Vec<Step>,
    /// The servers of the file: those of one wave need only those of earlier waves.
    pub waves: Vec<Vec<Step>>,
}

impl Plan {
    /// Compares what should run with what was found. `fingerprint` tells what a server would be started with,
    /// in the same form as [`Found::spec`].
    #[must_use]
    pub fn new(
        ensemble: &Ensemble,
        found: &BTreeMap<ServerId, Found>,
        fingerprint: impl Fn(&ServerSpec) -> String,
    ) -> Self {
        let step = |server: ServerSpec| {
            let kind = match found.get(&server.id) {
                None => StepKind::Start,
                Some(found) if found.state == FoundState::Ended => StepKind::Start,
                Some(found) if found.spec == fingerprint(&server) => StepKind::Keep,
                Some(_) => StepKind::Replace,
            };
            Step { kind, id: server.id }
        };
        let waves: Vec<Vec<Step>> =
            waves(ensemble).map(|wave| wave.into_iter().map(step).collect()).collect();
        let wanted: BTreeSet<&ServerId> = waves.iter().flatten().map(|step| &step.id).collect();
        let running = found.iter().filter(|(_, found)| found.state == FoundState::Running);
        let stops = running
            .filter(|(id, _)| !wanted.contains(*id))
            .map(|(id, _)| Step { kind: StepKind::Stop, id: id.clone() })
            .collect();
        Self { stops, waves }
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stops.iter().chain(self.waves.iter().flatten())
    }

    /// Whether everything already is as it should be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps().all(|step| step.kind == StepKind::Keep)
    }
}

/// One line per step: `+` start, `=` keep, `~` replace, `-` stop.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps().enumerate() {
            let (sign, what) = match step.kind {
                StepKind::Start => ("+", "start"),
                StepKind::Keep => ("=", "keep, it runs as configured"),
                StepKind::Replace => ("~", "replace, its configuration has changed"),
                StepKind::Stop => ("-", "stop, it is not in the file"),
            };
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{sign} {}: {what}", step.id)?;
        }
        Ok(())
    }
}

/// The servers in the order in which they are stopped: nobody loses what it needs while it runs. The servers
/// of one wave may be stopped at the same time.
#[must_use]
pub fn stop_waves(ensemble: &Ensemble) -> Vec<Vec<ServerId>> {
    let mut waves: Vec<Vec<ServerId>> =
        waves(ensemble).map(|wave| wave.into_iter().map(|server| server.id).rev().collect()).collect();
    waves.reverse();
    waves
}

/// Which servers a role still waits for: those of the roles it needs that are not ready.
pub fn waits_for<'e>(
    ensemble: &'e Ensemble,
    server: &ServerSpec,
    is_ready: impl Fn(&ServerId) -> bool,
) -> Vec<&'e ServerId> {
    let needs = ensemble.roles.get(&server.role).into_iter().flat_map(|role| &role.needs);
    needs
        .filter_map(|need| ensemble.roles.get(need))
        .flat_map(|role| &role.servers)
        .filter(|id| !is_ready(id))
        .collect()
}

fn waves(ensemble: &Ensemble) -> impl Iterator<Item = Vec<ServerSpec>> {
    let roles = ensemble.waves().into_iter();
    roles.map(|wave| wave.into_iter().flat_map(|role| ensemble.servers_of(role)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        [roles.db]
        [roles.cache]
        [roles.web]
        workers = 2
        needs = ['db', 'cache']
        [roles.edge]
        needs = ['web']";

    fn ensemble() -> Ensemble {
        Ensemble::parse(FILE, "odeon.toml").expect("a good file")
    }

    fn id(name: &str) -> ServerId {
        format!("{name}@/").parse().expect("an id")
    }

    fn plan(found: &[(&str, &str, FoundState)]) -> Plan {
        let found = found.iter().map(|(name, spec, state)| {
            let spec = (*spec).to_owned();
            (id(name), Found { spec, state: *state })
        });
        Plan::new(&ensemble(), &found.collect(), |server| format!("{}-v2", server.role))
    }

    #[test]
    fn each_server_gets_the_step_that_what_was_found_calls_for() {
        use FoundState::{Ended, Running};
        let up = "+ cache-0@/: start\n+ db-0@/: start\n+ web-0@/: start\n+ web-1@/: start\n+ edge-0@/: start";
        assert_eq!(plan(&[]).to_string(), up);
        assert_eq!(plan(&[("db-0", "db-v2", Ended), ("gone", "x", Ended)]).to_string(), up);
        let mixed = plan(&[
            ("db-0", "db-v2", Running),
            ("web-0", "web-v1", Running),
            ("web-1", "web-v2", Running),
            ("web-2", "web-v2", Running),
            ("alien", "x", Running),
        ]);
        assert_eq!(
            mixed.to_string(),
            [
                "- alien@/: stop, it is not in the file",
                "- web-2@/: stop, it is not in the file",
                "+ cache-0@/: start",
                "= db-0@/: keep, it runs as configured",
                "~ web-0@/: replace, its configuration has changed",
                "= web-1@/: keep, it runs as configured",
                "+ edge-0@/: start",
            ]
            .join("\n")
        );
        assert!(!mixed.is_done());
        let json = serde_json::to_value(&mixed).expect("JSON");
        assert_eq!(json["stops"][0], serde_json::json!({ "kind": "stop", "id": "alien@/" }));
        assert_eq!(json["waves"][1][0], serde_json::json!({ "kind": "replace", "id": "web-0@/" }));
    }

    #[test]
    fn a_plan_that_keeps_everything_is_done() {
        let ids = [("cache-0", "cache-v2"), ("db-0", "db-v2"), ("web-0", "web-v2"), ("web-1", "web-v2")];
        let mut found = ids.map(|(name, spec)| (name, spec, FoundState::Running)).to_vec();
        assert!(!plan(&found).is_done(), "edge-0 is missing");
        found.push(("edge-0", "edge-v2", FoundState::Running));
        assert!(plan(&found).is_done());
    }

    #[test]
    fn stopping_goes_the_other_way() {
        let names: Vec<Vec<String>> = stop_waves(&ensemble())
            .into_iter()
            .map(|wave| wave.iter().map(|id| id.name().to_owned()).collect())
            .collect();
        assert_eq!(names, [vec!["edge-0"], vec!["web-1", "web-0"], vec!["db-0", "cache-0"]]);
    }

    #[test]
    fn a_server_waits_for_all_that_its_role_needs_and_no_more() {
        let ensemble = ensemble();
        let servers = ensemble.servers();
        let waiting = |name: &str, ready: &[&str]| -> Vec<String> {
            let server = servers.iter().find(|server| server.id == id(name)).expect("a server");
            let missing = waits_for(&ensemble, server, |id| ready.contains(&id.name()));
            missing.iter().map(|id| id.name().to_owned()).collect()
        };
        assert_eq!(waiting("web-1", &[]), ["cache-0", "db-0"]);
        assert_eq!(waiting("web-1", &["db-0"]), ["cache-0"]);
        assert_eq!(waiting("web-1", &["db-0", "cache-0"]), [""; 0]);
        assert_eq!(waiting("edge-0", &["web-0"]), ["web-1"]);
        assert_eq!(waiting("db-0", &[]), [""; 0]);
    }
}
