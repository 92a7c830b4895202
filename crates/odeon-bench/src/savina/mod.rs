//! The Savina programs: twelve small concurrent programs by which actor libraries have been compared since 2014,
//! each written once, over any [`Stage`].
//!
//! A program is timed whole, from the first actor it spawns to the verdict of the last, as the suite does; the
//! verdict is a count or a sum that only comes out right when no message was lost, repeated or mixed up. Sizes are
//! the suite's, unless [`Program::size`] says otherwise.

mod banking;
mod big;
mod bounded_buffer;
mod chameneos;
mod collector;
mod count;
mod dictionary;
mod fork_join;
mod philosophers;
mod ping_pong;
mod random;
mod skynet;
mod thread_ring;
mod verdict;

use crate::{
    drive::Clock,
    error::JobError,
    stages::Stage,
    workload::{Job, Sample, Scale, Workload},
};

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Program {
    /// One actor sends to another, which counts.
    Count,
    /// Messages are spread over 60 actors, which compute a little.
    ForkJoinThroughput,
    /// Actors are spawned, compute a little once, and end.
    ForkJoinCreate,
    /// 100 creatures meet in pairs, through one mall.
    Chameneos,
    /// 120 actors ping one another at random.
    Big,
    /// A token goes round 100 actors.
    ThreadRing,
    /// Two actors send one message to and fro.
    PingPong,
    /// 40 producers and 40 consumers around a manager with a buffer of 50.
    BoundedBuffer,
    /// 20 workers read and write, one time in ten, a map that one actor keeps.
    Dictionary,
    /// 20 philosophers ask one arbitrator for their forks.
    Philosophers,
    /// Transfers between 1,000 accounts, each of which does one at a time.
    Banking,
    /// A tree of actors, ten children each, whose leaves are summed up.
    Skynet,
}

impl Program {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 12] = [
        Self::PingPong,
        Self::Count,
        Self::ThreadRing,
        Self::ForkJoinThroughput,
        Self::Big,
        Self::Chameneos,
        Self::BoundedBuffer,
        Self::Dictionary,
        Self::Philosophers,
        Self::Banking,
        Self::ForkJoinCreate,
        Self::Skynet,
    ];

    /// The name, as in `--only` and in the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::ForkJoinThroughput => "fork-join-throughput",
            Self::ForkJoinCreate => "fork-join-create",
            Self::Chameneos => "chameneos",
            Self::Big => "big",
            Self::ThreadRing => "thread-ring",
            Self::PingPong => "ping-pong",
            Self::BoundedBuffer => "bounded-buffer",
            Self::Dictionary => "dictionary",
            Self::Philosophers => "philosophers",
            Self::Banking => "banking",
            Self::Skynet => "skynet",
        }
    }

    /// What its time is divided by. Starts, ends and the reports of the verdict are not counted.
    pub(crate) fn counted(self) -> &'static str {
        match self {
            Self::ForkJoinCreate | Self::Skynet => "actor",
            _ => "message",
        }
    }

    /// The program's one variable size; the others are constants of its module. In the suite `ping-pong` has 40,000
    /// pings and `thread-ring` 100,000 hops: some 10 ms of work, so here they have ten times that. `skynet` has a
    /// million leaves, which keeps the slowest peer busy for more than 10 s and takes 7 GB where nothing ends before
    /// all has begun, so here it has a tenth.
    pub(crate) fn size(self, scale: Scale) -> usize {
        let full = match self {
            Self::Count => 1_000_000,
            Self::ForkJoinThroughput | Self::Dictionary | Self::Philosophers => 10_000,
            Self::ForkJoinCreate => 40_000,
            Self::Chameneos => 200_000,
            Self::Big => 20_000,
            Self::ThreadRing => 1_000_000,
            Self::PingPong => 400_000,
            Self::BoundedBuffer => 1_000,
            Self::Banking => 50_000,
            Self::Skynet => 100_000,
        };
        match (self, scale) {
            (_, Scale::Full) => full,
            // A power of ten, so that the tree is full.
            (Self::Skynet, Scale::Quick | Scale::Smoke) => full / 10,
            (_, Scale::Quick | Scale::Smoke) => full / 20,
        }
    }
}

/// Runs one repetition of the program that is `job`'s workload.
pub(crate) fn run<S: Stage>(job: Job) -> Result<Sample, JobError> {
    let Workload::Savina(program) = job.workload else {
        return Err(JobError::Unfit { workload: job.workload.name() });
    };
    S::host(job.runtime, async move {
        let stage = S::start(job.runtime).await?;
        let size = job.count as u64;
        let clock = Clock::start(0);
        let counted = match program {
            Program::Count => count::run(&stage, size).await,
            Program::ForkJoinThroughput => fork_join::throughput(&stage, size).await,
            Program::ForkJoinCreate => fork_join::create(&stage, size).await,
            Program::Chameneos => chameneos::run(&stage, size).await,
            Program::Big => big::run(&stage, size).await,
            Program::ThreadRing => thread_ring::run(&stage, size).await,
            Program::PingPong => ping_pong::run(&stage, size).await,
            Program::BoundedBuffer => bounded_buffer::run(&stage, size).await,
            Program::Dictionary => dictionary::run(&stage, size).await,
            Program::Philosophers => philosophers::run(&stage, size).await,
            Program::Banking => banking::run(&stage, size).await,
            Program::Skynet => skynet::run(&stage, size).await,
        }?;
        Ok(clock.stop(usize::try_from(counted).unwrap_or(usize::MAX)))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::REGISTRY, workload::Runtime};

    #[test]
    fn every_program_is_in_the_table_once() {
        let mut names: Vec<_> = Program::ALL.map(Program::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Program::ALL.len());
    }

    #[test]
    fn every_stage_does_every_program_on_both_runtimes() {
        for program in Program::ALL {
            let workload = Workload::Savina(program);
            let count = if program == Program::Skynet { 100 } else { 30 };
            let mut counts = Vec::new();
            for row in REGISTRY.iter().filter(|row| row.does(workload) && row.missing().is_none()) {
                for runtime in [Runtime::OneThread, Runtime::TwoWorkers] {
                    let sample = row
                        .run(Job { workload, runtime, count })
                        .unwrap_or_else(|error| panic!("{} {program:?} {runtime:?}: {error}", row.name));
                    assert!(sample.elapsed_ns > 0.0);
                    counts.push(sample.count);
                }
            }
            assert!(counts.len() >= 12, "{program:?}: {counts:?}");
            assert!(counts.iter().all(|&count| count == counts[0]), "{program:?}: {counts:?}");
        }
    }
}
