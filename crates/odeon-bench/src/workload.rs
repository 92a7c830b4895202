//! What is measured: the workloads, their sizes, and the runtimes they run on.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::savina::Program;

/// Messages a bounded mailbox holds, for every peer that has bounded mailboxes.
pub(crate) const MAILBOX_MAX: usize = 1_024;

/// Members of the ring.
pub(crate) const RING_MEMBERS: usize = 1_000;

/// Subscribers of the fan-out.
pub(crate) const FAN_OUT_SUBSCRIBERS: usize = 10_000;

/// Producers of the fan-in.
pub(crate) const FAN_IN_PRODUCERS: usize = 8;

/// One question put to every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Workload {
    /// One caller asks one actor.
    Ask,
    /// One producer sends 16-byte messages to one actor.
    Tell,
    /// Eight producers send 16-byte messages to one actor.
    FanIn,
    /// One producer sends to 10,000 actors in turn, and waits for all of them before the next round.
    FanOut,
    /// A token goes round 1,000 actors.
    Ring,
    /// Actors are spawned, answer one message each, and idle.
    Spawn,
    /// One of the Savina programs.
    Savina(Program),
}

/// A set of workloads that share a table, and a name in `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    /// One figure for each thing an actor library does.
    Basic,
    /// The Savina programs.
    Savina,
}

impl Group {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Basic, Self::Savina];

    /// The name, as in `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Savina => "savina",
        }
    }
}

impl Workload {
    /// All of them, in the order of the tables.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let basic = [Self::Ask, Self::Tell, Self::FanIn, Self::FanOut, Self::Ring, Self::Spawn];
        basic.into_iter().chain(Program::ALL.map(Self::Savina))
    }

    /// The group.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::Savina(_) => Group::Savina,
            _ => Group::Basic,
        }
    }

    /// The name, as in `--only` and in the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Tell => "tell",
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Ring => "ring",
            Self::Spawn => "spawn",
            Self::Savina(program) => program.name(),
        }
    }

    /// How many asks, messages, hops or actors one repetition takes; of a program, its variable size.
    pub(crate) fn count(self, scale: Scale) -> usize {
        match (self, scale) {
            (Self::Ask, Scale::Full) => 200_000,
            (Self::Ask, Scale::Quick | Scale::Smoke) => 10_000,
            (Self::Tell | Self::FanIn, Scale::Full) => 5_000_000,
            (Self::Tell | Self::FanIn, Scale::Quick | Scale::Smoke) => 250_000,
            (Self::FanOut | Self::Ring, Scale::Full) => 2_000_000,
            (Self::FanOut | Self::Ring, Scale::Quick | Scale::Smoke) => 100_000,
            (Self::Spawn, Scale::Full) => 1_000_000,
            // Not a twentieth: below this the allocator's own pages blur the bytes per actor.
            (Self::Spawn, Scale::Quick | Scale::Smoke) => 100_000,
            (Self::Savina(program), scale) => program.size(scale),
        }
    }
}

/// How much work one repetition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// The sizes that are published
    Full,
    /// A twentieth: shows that all works, not how fast
    Quick,
    /// A handful: shows that every peer answers
    Smoke,
}

impl Scale {
    /// The name on the command line.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
            Self::Smoke => "smoke",
        }
    }
}

/// The threads a peer may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Runtime {
    /// A current-thread runtime.
    #[value(name = "1t")]
    OneThread,
    /// A multi-thread runtime with two workers.
    #[value(name = "2w")]
    TwoWorkers,
}

impl Runtime {
    /// The name shown to people and written into the JSON.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::OneThread => "1 thread",
            Self::TwoWorkers => "2 workers",
        }
    }

    /// The name on the command line.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::OneThread => "1t",
            Self::TwoWorkers => "2w",
        }
    }
}

/// The 16 bytes that `tell` and `fan-in` carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// Who sent it.
    pub(crate) producer: u64,
    /// Which of the producer's messages it is.
    pub(crate) sequence: u64,
}

impl Note {
    /// What the actor adds up: one per message, read from both fields so that neither is optimised away.
    pub(crate) fn weight(self) -> u64 {
        1 + u64::from(self.producer == u64::MAX && self.sequence == u64::MAX)
    }
}

/// One measurement to take: a workload of a size on a runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// The workload.
    pub(crate) workload: Workload,
    /// The runtime.
    pub(crate) runtime: Runtime,
    /// Asks, messages, hops or actors; of a program, its variable size.
    pub(crate) count: usize,
}

/// What one repetition of one job gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From the first operation to the last acknowledgement, in nanoseconds.
    pub(crate) elapsed_ns: f64,
    /// Asks, messages, hops or actors in that time.
    pub(crate) count: usize,
    /// Nanoseconds per operation, one entry per batch; empty where only the end is acknowledged.
    pub(crate) batches_ns: Vec<f64>,
    /// Resident bytes added while the actors were spawned or the links made; `spawn` and `idle-link` only.
    pub(crate) resident_bytes: Option<u64>,
    /// Those of them in the near process, where there are two.
    pub(crate) near_bytes: Option<u64>,
}

impl Sample {
    /// Nanoseconds per operation.
    pub(crate) fn each_ns(&self) -> f64 {
        self.elapsed_ns / self.count as f64
    }

    /// Operations per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 * 1e9 / self.elapsed_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_workload_or_group() {
        let mut names: Vec<_> = Workload::all().map(Workload::name).collect();
        names.extend(Group::ALL.map(Group::name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (20, 20));
    }

    #[test]
    fn runtimes_are_what_the_command_line_takes() {
        for runtime in Runtime::value_variants() {
            let value = runtime.to_possible_value().expect("no variant is skipped");
            assert_eq!(value.get_name(), runtime.flag());
        }
    }

    #[test]
    fn a_note_is_sixteen_bytes_and_weighs_one() {
        assert_eq!(size_of::<Note>(), 16);
        assert_eq!(Note { producer: 7, sequence: 9 }.weight(), 1);
    }

    #[test]
    fn quick_is_a_twentieth_but_for_spawn() {
        for workload in [Workload::Ask, Workload::Tell, Workload::FanIn, Workload::FanOut, Workload::Ring] {
            assert_eq!(workload.count(Scale::Full), 20 * workload.count(Scale::Quick));
        }
        assert_eq!(Workload::Spawn.count(Scale::Quick), 100_000);
    }

    #[test]
    fn fan_in_fan_out_and_ring_divide_evenly() {
        for scale in [Scale::Full, Scale::Quick] {
            assert_eq!(Workload::FanIn.count(scale) % FAN_IN_PRODUCERS, 0);
            assert_eq!(Workload::FanOut.count(scale) % FAN_OUT_SUBSCRIBERS, 0);
            assert_eq!(Workload::Ring.count(scale) % RING_MEMBERS, 0);
        }
    }

    #[test]
    fn rates_are_per_operation() {
        let sample = Sample {
            elapsed_ns: 1e9,
            count: 4,
            batches_ns: Vec::new(),
            resident_bytes: None,
            near_bytes: None,
        };
        assert_eq!(sample.each_ns(), 2.5e8);
        assert_eq!(sample.per_second(), 4.0);
    }
}
