//! The remote peers. A new one is a file with a far side and a near side, and a row of [`REGISTRY`].

mod clusters;
mod erlang;
mod odeon;
mod raw;
mod secure;
mod tls;
mod tonic;
mod tonic_service;
mod tonic_stream;

use std::{path::Path, sync::Arc};

use crate::{
    error::JobError,
    host,
    peers::Kind,
    remote::{
        drive::{self, Near},
        far::Far,
        question::{Point, Question, Task, Transport},
    },
    workload::Sample,
};

/// Every peer, in the order of the table: Odeon, the others, then the raw limits.
pub(crate) const REGISTRY: &[Row] = &[
    odeon::ROW,
    tonic::ROW,
    tonic_stream::ROW,
    clusters::RACTOR,
    clusters::KAMEO,
    erlang::ROW,
    raw::UNIX,
    raw::TCP,
    raw::TLS,
];

/// One peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name in `--peers` and in the JSON.
    pub(crate) name: &'static str,
    /// What sort of thing it is.
    pub(crate) kind: Kind,
    /// One of so many operations is measured: what takes a peer a minute tells no more than what takes it seconds.
    pub(crate) share: usize,
    does: fn(Point) -> bool,
    missing: fn() -> Option<String>,
    sides: Sides,
}

/// Who the two processes are.
#[derive(Clone, Copy, Debug)]
enum Sides {
    /// This program, twice.
    Ours {
        /// Makes what both processes need, in a directory for sockets and keys.
        prepare: fn(&Task, &Path) -> Result<(), JobError>,
        /// Serves until the near side is done.
        far: fn(&Task, &Path) -> Result<(), JobError>,
        /// Measures.
        near: fn(Task, Far) -> Result<Sample, JobError>,
    },
    /// Others: the function starts both and brings the sample home.
    Others(fn(&Task) -> Result<Sample, JobError>),
}

impl Row {
    /// Whether the peer can be measured at this point.
    pub(crate) fn does(&self, point: Point) -> bool {
        (self.does)(point)
    }

    /// What this machine lacks to measure the peer, and how to get it.
    pub(crate) fn missing(&self) -> Option<String> {
        (self.missing)()
    }

    /// Whether the near side is a process of this program, to be started by the caller.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.sides, Sides::Ours { .. })
    }

    /// Takes one repetition, as the near process.
    pub(crate) fn near(&self, task: Task) -> Result<Sample, JobError> {
        match self.sides {
            Sides::Ours { prepare, near, .. } => {
                let directory = tempfile::tempdir().map_err(JobError::Directory)?;
                prepare(&task, directory.path())?;
                near(task, Far::start(self.name, &task, directory.path())?)
            }
            Sides::Others(both) => both(&task),
        }
    }

    /// Serves, as the far process.
    pub(crate) fn far(&self, task: &Task, directory: &Path) -> Result<(), JobError> {
        match self.sides {
            Sides::Ours { far, .. } => far(task, directory),
            Sides::Others(_) => {
                Err(JobError::Unfit { workload: "the far side of a peer in another program" })
            }
        }
    }
}

/// The peer of that name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    REGISTRY.iter().find(|row| row.name == name)
}

/// The near side of a library with calls for asks and tells.
fn near<N: Near>(task: Task, far: Far) -> Result<Sample, JobError> {
    host::tokio(task.runtime, drive::run::<N>(task, Arc::new(far)))?
}

/// For those who need nothing beforehand.
fn nothing(_: &Task, _: &Path) -> Result<(), JobError> {
    Ok(())
}

/// Libraries that connect processes over TCP and have an ask and a tell.
fn does_basics_over_tcp(point: Point) -> bool {
    point.transport == Transport::Tcp
        && matches!(
            point.question,
            Question::Ask | Question::AskMany | Question::Tell | Question::FirstContact
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (index, row) in REGISTRY.iter().enumerate() {
            assert!(REGISTRY[..index].iter().all(|other| other.name != row.name));
            assert_eq!(find(row.name).expect("it is in the registry").name, row.name);
        }
        assert!(find("nobody").is_none());
    }

    #[test]
    fn every_point_has_a_limit_beside_odeon() {
        for question in Question::all().filter(|question| !matches!(question, Question::Actors(_))) {
            for transport in Transport::ALL {
                let point = Point { question, transport };
                let limits = REGISTRY.iter().filter(|row| row.kind == Kind::Limit && row.does(point));
                assert_eq!(limits.count(), 1, "{point}");
            }
        }
    }
}
