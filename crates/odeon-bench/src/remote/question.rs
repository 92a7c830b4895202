//! What is measured between two processes: the questions, over which transport, and how much of it.

use std::fmt;

use crate::workload::{Runtime, Scale};

/// Asks that are open at once where many are.
pub(crate) const OPEN_ASKS: usize = 1_000;

/// Asks that are open at once where the size of a message is what counts.
pub(crate) const OPEN_LARGE_ASKS: usize = 16;

/// Bytes of one tell.
pub(crate) const TELL_BYTES: usize = 64;

/// Links of the largest table, and those that are counted for their memory.
const LINKS_MAX: u32 = 1_000;

/// Bytes that travel in one repetition of a message size, roughly.
const SIZE_TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// One question put to every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Question {
    /// One asker, one ask at a time.
    Ask,
    /// 1,000 asks open at once.
    AskMany,
    /// One sender, one way; the far side says how many have come.
    Tell,
    /// Connect to a server whose address is known, shake hands, ask once.
    FirstContact,
    /// One ask at a time, over so many links in turn.
    LinksAsk(u32),
    /// 1,000 asks open at once, over so many links.
    LinksMany(u32),
    /// Asks with so many bytes, answered with their number.
    Size(u32),
    /// 1,000 asks open at once, to so many actors over one link.
    Actors(u32),
    /// Memory of a link that has been used once and idles.
    IdleLink,
}

/// Questions that share a table, and a name in `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Topic {
    /// One figure for each thing that servers do with each other.
    Basic,
    /// One link to a thousand: latency.
    LinksAsk,
    /// One link to a thousand: throughput.
    LinksMany,
    /// One byte to a mebibyte.
    Size,
    /// Two actors to 64.
    Actors,
    /// Memory.
    Idle,
}

impl Topic {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 6] =
        [Self::Basic, Self::LinksAsk, Self::LinksMany, Self::Size, Self::Actors, Self::Idle];

    /// The name, as in `--only`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::LinksAsk => "links-ask",
            Self::LinksMany => "links",
            Self::Size => "bytes",
            Self::Actors => "actors",
            Self::Idle => "idle",
        }
    }
}

impl Question {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let links = [1, 10, 100, LINKS_MAX];
        [Self::Ask, Self::AskMany, Self::Tell, Self::FirstContact]
            .into_iter()
            .chain(links.map(Self::LinksAsk))
            .chain(links.map(Self::LinksMany))
            .chain([1, 64, 1_024, 16 * 1_024, 64 * 1_024, 256 * 1_024, 1_024 * 1_024].map(Self::Size))
            .chain([2, 4, 8, 16, 32, 64].map(Self::Actors))
            .chain([Self::IdleLink])
    }

    /// The question of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::all().find(|one| one.name() == name)
    }

    /// The name, as in `--only`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Ask => "remote-ask".to_owned(),
            Self::AskMany => "remote-ask-1000".to_owned(),
            Self::Tell => "remote-tell".to_owned(),
            Self::FirstContact => "first-contact".to_owned(),
            Self::IdleLink => "idle-link".to_owned(),
            Self::LinksAsk(n) | Self::LinksMany(n) | Self::Size(n) | Self::Actors(n) => {
                format!("{}-{n}", self.topic().name())
            }
        }
    }

    /// Which table it belongs to.
    pub(crate) const fn topic(self) -> Topic {
        match self {
            Self::Ask | Self::AskMany | Self::Tell | Self::FirstContact => Topic::Basic,
            Self::LinksAsk(_) => Topic::LinksAsk,
            Self::LinksMany(_) => Topic::LinksMany,
            Self::Size(_) => Topic::Size,
            Self::Actors(_) => Topic::Actors,
            Self::IdleLink => Topic::Idle,
        }
    }

    /// The number that its table varies.
    pub(crate) const fn varied(self) -> Option<u32> {
        match self {
            Self::LinksAsk(n) | Self::LinksMany(n) | Self::Size(n) | Self::Actors(n) => Some(n),
            _ => None,
        }
    }

    /// Links that are open at once.
    pub(crate) const fn links(self, scale: Scale) -> usize {
        match (self, scale) {
            (Self::LinksAsk(n) | Self::LinksMany(n), _) => n as usize,
            (Self::IdleLink, Scale::Smoke) => 10,
            (Self::IdleLink, _) => LINKS_MAX as usize,
            _ => 1,
        }
    }

    /// Actors behind each link.
    pub(crate) const fn actors(self) -> usize {
        match self {
            Self::Actors(n) => n as usize,
            _ => 1,
        }
    }

    /// Bytes of one request, where they are bare bytes.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Size(n) => n as usize,
            Self::Tell => TELL_BYTES,
            _ => size_of::<u64>(),
        }
    }

    /// Asks that are open at once.
    pub(crate) const fn open(self) -> usize {
        match self {
            Self::AskMany | Self::LinksMany(_) | Self::Actors(_) => OPEN_ASKS,
            Self::Size(_) => OPEN_LARGE_ASKS,
            _ => 1,
        }
    }

    /// How many asks, messages or contacts one repetition takes.
    pub(crate) fn count(self, scale: Scale) -> usize {
        let (full, smoke) = match self {
            Self::Ask | Self::LinksAsk(_) => (20_000, 50),
            Self::AskMany | Self::LinksMany(_) | Self::Actors(_) => (1_000_000, 2_000),
            Self::Tell => (4_000_000, 2_000),
            Self::FirstContact => (400, 5),
            Self::Size(n) => ((SIZE_TOTAL_BYTES / n as usize).clamp(400, 100_000), 32),
            Self::IdleLink => (LINKS_MAX as usize, 10),
        };
        match scale {
            Scale::Full => full,
            Scale::Quick => (full / 20).max(smoke),
            Scale::Smoke => smoke,
        }
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Transport {
    /// A unix socket.
    Unix,
    /// TCP on loopback.
    Tcp,
    /// TCP on loopback with TLS 1.3; both sides show a certificate.
    Tls,
}

impl Transport {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Unix, Self::Tcp, Self::Tls];

    /// The name, as in `--only`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The transport of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// A question over a transport: what one figure of the report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Point {
    /// The question.
    pub(crate) question: Question,
    /// What carries the bytes.
    pub(crate) transport: Transport,
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.question.name(), self.transport.name())
    }
}

/// One measurement to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// What is asked.
    pub(crate) point: Point,
    /// The threads of each of the two processes.
    pub(crate) runtime: Runtime,
    /// How much of it.
    pub(crate) scale: Scale,
    /// Asks, messages or contacts.
    pub(crate) count: usize,
}

impl Task {
    /// Links that are open at once.
    pub(crate) const fn links(&self) -> usize {
        self.point.question.links(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_question_or_topic() {
        let mut names: Vec<String> = Question::all().map(Question::name).collect();
        names.extend(Topic::ALL.map(|topic| topic.name().to_owned()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (26 + 6, 26 + 6));
        for question in Question::all() {
            assert_eq!(Question::find(&question.name()), Some(question));
        }
        assert_eq!(Question::find("remote"), None);
    }

    #[test]
    fn open_asks_are_shared_evenly_by_links_and_actors() {
        for question in Question::all() {
            let open = question.open();
            assert!(open == 1 || open % question.links(Scale::Full) == 0, "{question:?}");
            for scale in [Scale::Full, Scale::Quick, Scale::Smoke] {
                assert!(question.count(scale) >= open || question.topic() == Topic::Basic, "{question:?}");
            }
        }
    }

    #[test]
    fn a_point_is_named_as_on_the_command_line() {
        let point = Point { question: Question::AskMany, transport: Transport::Tls };
        assert_eq!(point.to_string(), "remote-ask-1000/tls");
        assert_eq!(Transport::find("tls"), Some(Transport::Tls));
        assert_eq!(Transport::find("quic"), None);
    }
}
