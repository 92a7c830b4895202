//! Figures: the median of the repetitions, and percentiles of the batches inside them.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::{
    peers::Kind,
    remote::question::{Point, Question},
    savina::Program,
    workload::{Runtime, Sample, Workload},
};

/// One thing a workload is measured by. All have one figure but `spawn`, which has a rate and a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Ask,
    Tell,
    FanIn,
    FanOut,
    Ring,
    Spawn,
    SpawnMemory,
    Savina(Program),
    Remote(Point),
    /// What of a link's memory is in one of the two processes.
    RemoteEnd(Point, End),
}

/// One of the two processes of a remote question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The one that asks, and has connected.
    Near,
    /// The one that was connected to.
    Far,
}

impl End {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Near, Self::Far];

    /// The name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

impl Measure {
    /// The measures of a workload.
    pub(crate) fn of(workload: Workload) -> Vec<Self> {
        match workload {
            Workload::Ask => vec![Self::Ask],
            Workload::Tell => vec![Self::Tell],
            Workload::FanIn => vec![Self::FanIn],
            Workload::FanOut => vec![Self::FanOut],
            Workload::Ring => vec![Self::Ring],
            Workload::Spawn => vec![Self::Spawn, Self::SpawnMemory],
            Workload::Savina(program) => vec![Self::Savina(program)],
        }
    }

    /// The measures of a remote question.
    pub(crate) fn of_remote(point: Point) -> Vec<Self> {
        let ends = End::ALL.map(|end| Self::RemoteEnd(point, end));
        let ends = ends.into_iter().filter(|_| point.question == Question::IdleLink);
        std::iter::once(Self::Remote(point)).chain(ends).collect()
    }

    /// The name in the JSON.
    pub(crate) fn name(self) -> Cow<'static, str> {
        let name = match self {
            Self::Remote(point) => return point.to_string().into(),
            Self::RemoteEnd(point, end) => {
                return format!("{}-{}/{}", point.question.name(), end.name(), point.transport.name()).into();
            }
            Self::Ask => "ask",
            Self::Tell => "tell",
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Ring => "ring",
            Self::Spawn => "spawn",
            Self::SpawnMemory => "spawn-memory",
            Self::Savina(program) => program.name(),
        };
        name.into()
    }

    /// What is counted, for people.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Ask | Self::Ring | Self::Savina(_) => Unit::Nanoseconds,
            Self::Tell | Self::FanIn | Self::FanOut => Unit::MessagesPerSecond,
            Self::Spawn => Unit::ActorsPerSecond,
            Self::SpawnMemory => Unit::Bytes,
            Self::RemoteEnd(..) => Unit::BytesPerLink,
            Self::Remote(point) => match point.question {
                Question::Ask | Question::FirstContact | Question::LinksAsk(_) => Unit::RoundTrip,
                Question::Tell => Unit::MessagesPerSecond,
                Question::AskMany | Question::LinksMany(_) | Question::Size(_) | Question::Actors(_) => {
                    Unit::AsksPerSecond
                }
                Question::IdleLink => Unit::BytesPerLink,
            },
        }
    }

    /// The value of one repetition; `None` if the sample was not taken for this measure.
    fn value(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Ask | Self::Ring | Self::Savina(_) => Some(sample.each_ns()),
            Self::Tell | Self::FanIn | Self::FanOut | Self::Spawn => Some(sample.per_second()),
            Self::Remote(_) => match self.unit() {
                Unit::RoundTrip => percentile(&sample.batches_ns, 0.5),
                Unit::BytesPerLink => sample.resident_bytes.map(|bytes| bytes as f64 / sample.count as f64),
                _ => Some(sample.per_second()),
            },
            Self::SpawnMemory => sample.resident_bytes.map(|bytes| bytes as f64 / sample.count as f64),
            Self::RemoteEnd(_, end) => {
                let near = sample.near_bytes?;
                let bytes = match end {
                    End::Near => near,
                    End::Far => sample.resident_bytes?.saturating_sub(near),
                };
                Some(bytes as f64 / sample.count as f64)
            }
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    MessagesPerSecond,
    ActorsPerSecond,
    Bytes,
    RoundTrip,
    AsksPerSecond,
    BytesPerLink,
}

impl Unit {
    /// The unit in the JSON, where nothing is scaled.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds | Self::RoundTrip => "ns",
            Self::MessagesPerSecond => "msg/s",
            Self::AsksPerSecond => "asks/s",
            Self::ActorsPerSecond => "actors/s",
            Self::Bytes | Self::BytesPerLink => "B",
        }
    }

    /// The unit people read, and how many of the JSON's units it is.
    pub(crate) fn scaled(self) -> (&'static str, f64) {
        match self {
            Self::Nanoseconds => ("ns", 1.0),
            Self::MessagesPerSecond => ("M msg/s", 1e6),
            Self::ActorsPerSecond => ("k actors/s", 1e3),
            Self::Bytes => ("B", 1.0),
            Self::RoundTrip => ("µs", 1e3),
            Self::AsksPerSecond => ("k asks/s", 1e3),
            Self::BytesPerLink => ("KiB", 1_024.0),
        }
    }

    /// Which end of the scale is the good one.
    pub(crate) fn better(self) -> Better {
        match self {
            Self::Nanoseconds | Self::Bytes | Self::RoundTrip | Self::BytesPerLink => Better::Lower,
            Self::MessagesPerSecond | Self::ActorsPerSecond | Self::AsksPerSecond => Better::Higher,
        }
    }
}

/// Which end of the scale is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// One figure of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    #[serde(rename = "workload", serialize_with = "measure_name")]
    pub(crate) measure: Measure,
    pub(crate) peer: &'static str,
    #[serde(skip)]
    pub(crate) label: String,
    #[serde(skip)]
    pub(crate) kind: Kind,
    #[serde(serialize_with = "runtime_label")]
    pub(crate) runtime: Runtime,
    #[serde(serialize_with = "tenths")]
    pub(crate) value: f64,
    #[serde(serialize_with = "unit_name")]
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    /// In nanoseconds per operation, over the batches of all repetitions; none where only the end is acknowledged.
    #[serde(serialize_with = "tenths_or_null")]
    pub(crate) p50: Option<f64>,
    /// As `p50`.
    #[serde(serialize_with = "tenths_or_null")]
    pub(crate) p99: Option<f64>,
}

/// Whose figures they are.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The peer's name.
    pub(crate) name: &'static str,
    /// Its name for people.
    pub(crate) label: String,
    /// What sort of thing it is.
    pub(crate) kind: Kind,
}

/// The figures of one peer, from its repetitions.
pub(crate) fn figures(
    peer: &Subject,
    measures: &[Measure],
    runtime: Runtime,
    samples: &[Sample],
) -> Vec<Figure> {
    let batches: Vec<f64> = samples.iter().flat_map(|sample| sample.batches_ns.iter().copied()).collect();
    let figure = |measure: Measure| {
        let values: Vec<f64> = samples.iter().filter_map(|sample| measure.value(sample)).collect();
        // The percentiles are times: they belong to the rate, not to the size.
        let timed = measure != Measure::SpawnMemory;
        let at = |share| if timed { percentile(&batches, share) } else { None };
        Some(Figure {
            measure,
            peer: peer.name,
            label: peer.label.clone(),
            kind: peer.kind,
            runtime,
            value: percentile(&values, 0.5)?,
            unit: measure.unit(),
            better: measure.unit().better(),
            p50: at(0.5),
            p99: at(0.99),
        })
    };
    measures.iter().copied().filter_map(figure).collect()
}

/// How many times worse than the best of its column and runtime each figure is; the best is 1.
pub(crate) fn ratio(figure: &Figure, all: &[Figure]) -> f64 {
    let rivals = all
        .iter()
        .filter(|other| other.measure == figure.measure && other.runtime == figure.runtime)
        .map(|other| other.value);
    match figure.better {
        Better::Lower => figure.value / rivals.fold(f64::INFINITY, f64::min),
        Better::Higher => rivals.fold(0.0, f64::max) / figure.value,
    }
}

/// The value below which `share` of the values lie, between the two nearest ones in proportion; at a half it is the
/// median. `None` of nothing.
fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ place ≤ last, a usize")]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// A value as people read it: three figures, thousands apart.
pub(crate) fn readable(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => thousands(&format!("{value:.0}")),
    }
}

/// Digits with commas between thousands.
pub(crate) fn thousands(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn tenths<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(tenth(*value))
}

fn tenths_or_null<S: Serializer>(value: &Option<f64>, out: S) -> Result<S::Ok, S::Error> {
    value.map(tenth).serialize(out)
}

fn measure_name<S: Serializer>(measure: &Measure, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&measure.name())
}

fn runtime_label<S: Serializer>(runtime: &Runtime, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(runtime.label())
}

fn unit_name<S: Serializer>(unit: &Unit, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(unit.name())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::peers;

    /// A figure without percentiles, for the reports' tests.
    pub(crate) fn figure(measure: Measure, peer: &str, runtime: Runtime, value: f64) -> Figure {
        let row = peers::find(peer).expect("a registered peer");
        Figure {
            measure,
            peer: row.name,
            label: row.label(),
            kind: row.kind,
            runtime,
            value,
            unit: measure.unit(),
            better: measure.unit().better(),
            p50: None,
            p99: None,
        }
    }

    fn sample(elapsed_ns: f64, batches_ns: &[f64], resident_bytes: Option<u64>) -> Sample {
        Sample { elapsed_ns, count: 100, batches_ns: batches_ns.to_vec(), resident_bytes, near_bytes: None }
    }

    #[test]
    fn percentiles() {
        for (values, share, expected) in [
            (&[][..], 0.5, None),
            (&[7.0], 0.5, Some(7.0)),
            (&[7.0], 0.99, Some(7.0)),
            (&[3.0, 1.0, 2.0], 0.5, Some(2.0)),
            (&[4.0, 1.0, 2.0, 3.0], 0.5, Some(2.5)),
            (&[1.0, 2.0, 3.0], 0.0, Some(1.0)),
            (&[1.0, 2.0, 3.0], 1.0, Some(3.0)),
            (&[0.0, 100.0], 0.99, Some(99.0)),
        ] {
            assert_eq!(percentile(values, share), expected, "{values:?} at {share}");
        }
    }

    #[test]
    fn values_are_readable() {
        for (value, text) in [
            (0.126, "0.13"),
            (5.314, "5.31"),
            (42.06, "42.1"),
            (402.4, "402"),
            (1_028.0, "1,028"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(readable(value), text);
        }
    }

    #[test]
    fn the_median_of_the_repetitions_is_the_value() {
        let row = peers::find("kameo").expect("registered");
        let samples =
            [sample(900.0, &[9.0], None), sample(100.0, &[1.0, 1.0], None), sample(300.0, &[3.0], None)];
        let all = figures(&row.subject(), &Measure::of(Workload::Ask), Runtime::OneThread, &samples);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].value, 3.0);
        assert_eq!(all[0].p50, Some(2.0));
        assert!((all[0].p99.expect("batches were taken") - 8.82).abs() < 1e-9);
    }

    #[test]
    fn spawn_gives_a_rate_and_a_size() {
        let row = peers::find("kameo").expect("registered");
        let measures = Measure::of(Workload::Spawn);
        let all =
            figures(&row.subject(), &measures, Runtime::TwoWorkers, &[sample(1e9, &[1e7], Some(4_000))]);
        assert_eq!((all[0].measure, all[0].value, all[0].p50), (Measure::Spawn, 100.0, Some(1e7)));
        assert_eq!((all[1].measure, all[1].value, all[1].p50), (Measure::SpawnMemory, 40.0, None));
    }

    #[test]
    fn ratios_are_taken_inside_one_column_and_runtime() {
        let all = [
            figure(Measure::Ask, "ractor", Runtime::OneThread, 400.0),
            figure(Measure::Ask, "kameo", Runtime::OneThread, 200.0),
            figure(Measure::Ask, "kameo", Runtime::TwoWorkers, 50.0),
            figure(Measure::Tell, "ractor", Runtime::OneThread, 2e6),
            figure(Measure::Tell, "kameo", Runtime::OneThread, 6e6),
        ];
        let ratios: Vec<f64> = all.iter().map(|one| ratio(one, &all)).collect();
        assert_eq!(ratios, [2.0, 1.0, 1.0, 3.0, 1.0]);
    }
}
