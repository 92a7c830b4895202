//! What `up` will do: the difference between the ensemble's file and what was found running.
//!
//! A [`Plan`] is computed and shown before anything is changed. It holds for the moment at which it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use odeon_actor::Shape;
use odeon_core::{Role, ServerId};
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Shape,
)]
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
                StepKind::Replace => ("~", "replace, its configuration or its program has changed"),
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

/// How far one server is, as those who need it see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is up.
    Ready,
    /// It is on its way.
    Coming,
    /// It is to be started once what it needs is ready.
    Waiting,
    /// It is down and does not come back by itself.
    Lost,
}

/// A role that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing<'e> {
    /// The role.
    pub role: &'e Role,
    /// Whether waiting is in vain: a server of it, or of what it needs, is down.
    pub is_lost: bool,
}

/// Which roles are ready for those that need them, at one moment.
#[derive(Debug)]
pub struct Readiness<'e> {
    ensemble: &'e Ensemble,
    ready: BTreeSet<&'e Role>,
    lost: BTreeSet<&'e Role>,
}

impl<'e> Readiness<'e> {
    /// Looks at every server of the file. A role is ready when all its servers are.
    #[must_use]
    pub fn new(ensemble: &'e Ensemble, standing: impl Fn(&ServerId) -> Standing) -> Self {
        let mut this = Self { ensemble, ready: BTreeSet::new(), lost: BTreeSet::new() };
        for role in ensemble.waves().into_iter().flatten() {
            let servers = ensemble.roles.get(role).map_or(&[][..], |config| &config.servers);
            let standings: BTreeMap<&ServerId, Standing> =
                servers.iter().map(|id| (id, standing(id))).collect();
            let any = |wanted| standings.values().any(|standing| *standing == wanted);
            let waits_in_vain = this.missing(role).iter().any(|need| need.is_lost);
            if standings.values().all(|standing| *standing == Standing::Ready) {
                this.ready.insert(role);
            } else if any(Standing::Lost) || any(Standing::Waiting) && waits_in_vain {
                this.lost.insert(role);
            }
        }
        this
    }

    /// What the servers of `role` still wait for.
    #[must_use]
    pub fn missing(&self, role: &Role) -> Vec<Missing<'e>> {
        let needs = self.ensemble.roles.get(role).into_iter().flat_map(|config| &config.needs);
        let missing = needs.filter(|need| !self.ready.contains(need));
        missing.map(|role| Missing { role, is_lost: self.lost.contains(role) }).collect()
    }
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
                "~ web-0@/: replace, its configuration or its program has changed",
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

    /// What `role` waits for when these servers stand so and all others are ready; `!` marks what is lost.
    fn missing(role: &str, others: &[(&str, Standing)]) -> Vec<String> {
        let ensemble = ensemble();
        let standing = |id: &ServerId| {
            others
                .iter()
                .find(|(name, _)| id.name() == *name)
                .map_or(Standing::Ready, |(_, standing)| *standing)
        };
        let readiness = Readiness::new(&ensemble, standing);
        let missing = readiness.missing(&role.parse().expect("a role"));
        let mark = |need: Missing<'_>| format!("{}{}", need.role, if need.is_lost { "!" } else { "" });
        missing.into_iter().map(mark).collect()
    }

    #[test]
    fn a_role_waits_for_all_that_it_needs_and_no_more() {
        use Standing::{Coming, Waiting};
        assert_eq!(missing("web", &[("db-0", Coming), ("cache-0", Waiting)]), ["cache", "db"]);
        assert_eq!(missing("web", &[("cache-0", Coming)]), ["cache"]);
        assert_eq!(missing("web", &[("web-0", Coming), ("edge-0", Coming)]), [""; 0]);
        assert_eq!(missing("edge", &[("web-1", Coming)]), ["web"], "one of two is not enough");
        assert_eq!(missing("db", &[("db-0", Coming)]), [""; 0]);
    }

    #[test]
    fn waiting_for_what_is_down_is_in_vain_at_any_distance() {
        use Standing::{Coming, Lost, Waiting};
        let waiting = [("db-0", Lost), ("web-0", Waiting), ("web-1", Waiting)];
        assert_eq!(missing("web", &waiting), ["db!"]);
        assert_eq!(missing("edge", &waiting), ["web!"]);
        assert_eq!(missing("edge", &[("db-0", Lost)]), [""; 0], "web is up all the same");
        assert_eq!(missing("edge", &[("db-0", Lost), ("web-0", Coming)]), ["web"], "web comes all the same");
        assert_eq!(missing("edge", &[("web-0", Coming), ("web-1", Lost)]), ["web!"]);
    }
}
