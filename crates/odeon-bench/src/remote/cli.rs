//! `odeon-bench remote` on the command line, and the hidden commands of its two processes.

use std::path::PathBuf;

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    cli::{self, RuntimeChoice},
    error::{BenchError, JobError},
    machine::Machine,
    remote::{
        self, Plan,
        peers::{self, REGISTRY, Row},
        question::{Point, Question, Task, Topic, Transport},
    },
    report,
    workload::{Runtime, Scale},
};

/// Open files that a thousand links need, and some.
const FILES_MIN: u64 = 8_192;

/// Operations of one repetition: a hundred times the published size.
const COUNT_MAX: u32 = 400_000_000;

#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// Questions or topics, each with `/unix`, `/tcp` or `/tls` or without, separated by commas
    #[arg(long, value_name = "QUESTIONS", value_delimiter = ',', value_parser = question_names(), hide_possible_values = true)]
    only: Vec<String>,
    /// Peers to compare, separated by commas
    #[arg(long, value_name = "PEERS", value_delimiter = ',', value_parser = peer_names())]
    peers: Vec<String>,
    /// Repetitions; the median is shown
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(cli::REPETITIONS_MAX)))]
    reps: u16,
    /// Threads of each of the two processes
    #[arg(long, default_value = "2w")]
    runtime: RuntimeChoice,
    /// How much one repetition takes
    #[arg(long, default_value = "full")]
    scale: Scale,
    /// Write the figures as one JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What the near and the far process are told.
#[derive(Debug, Args)]
pub(crate) struct SideArgs {
    #[arg(long, value_parser = peer_names())]
    peer: String,
    #[arg(long, value_parser = PossibleValuesParser::new(Question::all().map(Question::name)))]
    question: String,
    #[arg(long, value_parser = PossibleValuesParser::new(Transport::ALL.map(Transport::name)))]
    transport: String,
    #[arg(long)]
    runtime: Runtime,
    #[arg(long)]
    scale: Scale,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
    /// For sockets and keys; of the far process only
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// `odeon-bench remote`: measures and reports.
pub(crate) fn remote(args: &RemoteArgs) -> Result<(), BenchError> {
    for path in args.json.iter().chain(&args.svg) {
        cli::look_for_directory(path)?;
    }
    let machine = Machine::read();
    let plan = plan(args);
    let skipped: String =
        plan.skipped.iter().map(|(row, why)| format!("{}: skipped: {why}\n", row.name)).collect();
    eprint!("{skipped}");
    let figures = remote::measure(&plan)?;
    cli::print(&format!("{skipped}{}", report::remote::render(&figures, &machine)))?;
    if let Some(path) = &args.json {
        cli::write(path, &report::json::render(&figures).map_err(BenchError::Json)?)?;
    }
    if let Some(path) = &args.svg {
        let drawn: Vec<_> = figures.into_iter().filter(report::remote::is_basic).collect();
        cli::write(path, &report::svg::render(&drawn, &machine))?;
    }
    Ok(())
}

/// The far process.
pub(crate) fn far_side(args: &SideArgs) -> Result<(), BenchError> {
    let (row, task) = side(args);
    let directory = args.directory.clone().unwrap_or_default();
    allow_files().and_then(|()| row.far(&task, &directory)).map_err(|source| failed(row, &task, source))
}

/// The near process.
pub(crate) fn near_side(args: &SideArgs) -> Result<(), BenchError> {
    let (row, task) = side(args);
    let sample = allow_files().and_then(|()| row.near(task)).map_err(|source| failed(row, &task, source))?;
    cli::print(&serde_json::to_string(&sample).map_err(BenchError::Json)?)
}

fn failed(row: &Row, task: &Task, source: JobError) -> BenchError {
    BenchError::Remote {
        point: task.point.to_string(),
        runtime: task.runtime.label(),
        peer: row.name,
        source,
    }
}

fn side(args: &SideArgs) -> (&'static Row, Task) {
    let point = Point {
        question: Question::find(&args.question).expect("the argument's parser takes known names only"),
        transport: Transport::find(&args.transport).expect("the argument's parser takes known names only"),
    };
    let row = peers::find(&args.peer).expect("the argument's parser takes registered names only");
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    (row, Task { point, runtime: args.runtime, scale: args.scale, count })
}

/// Raises the limit of open files as far as this user may.
fn allow_files() -> Result<(), JobError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = FILES_MIN.min(maximum.unwrap_or(u64::MAX));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
            .map_err(|error| JobError::Link(error.into()))?;
    }
    Ok(())
}

fn plan(args: &RemoteArgs) -> Plan {
    let is_named = |point: &Point| {
        let topic = point.question.topic().name();
        let question = point.question.name();
        let over = point.transport.name();
        args.only.is_empty()
            || args.only.iter().any(|name| {
                *name == question
                    || name == topic
                    || *name == point.to_string()
                    || *name == format!("{topic}/{over}")
                    || name == over
            })
    };
    let mut plan = Plan {
        points: Question::all()
            .flat_map(|question| Transport::ALL.map(|transport| Point { question, transport }))
            .filter(is_named)
            .collect(),
        peers: Vec::new(),
        skipped: Vec::new(),
        runtimes: args.runtime.runtimes(),
        repetitions: usize::from(args.reps),
        scale: args.scale,
    };
    for row in REGISTRY {
        if args.peers.is_empty() || args.peers.iter().any(|name| name == row.name) {
            match row.missing() {
                None => plan.peers.push(row),
                Some(why) => plan.skipped.push((row, why)),
            }
        }
    }
    plan
}

fn question_names() -> PossibleValuesParser {
    let names = Topic::ALL
        .map(|topic| topic.name().to_owned())
        .into_iter()
        .chain(Question::all().map(Question::name));
    let transports = Transport::ALL.map(Transport::name);
    let mut all: Vec<String> = transports.map(str::to_owned).to_vec();
    for name in names {
        all.extend(transports.map(|transport| format!("{name}/{transport}")));
        all.push(name);
    }
    PossibleValuesParser::new(all)
}

fn peer_names() -> PossibleValuesParser {
    PossibleValuesParser::new(REGISTRY.iter().map(|row| row.name))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RemoteArgs,
    }

    fn planned(line: &str) -> Result<Plan, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| plan(&line.args))
    }

    #[test]
    fn nothing_said_means_everything_on_two_workers() {
        let plan = planned("remote").expect("it is complete");
        assert_eq!(plan.points.len(), 26 * 3);
        assert_eq!(plan.peers.len() + plan.skipped.len(), REGISTRY.len());
        assert_eq!((plan.runtimes.as_slice(), plan.repetitions), (&[Runtime::TwoWorkers][..], 5));
    }

    #[test]
    fn a_selection_is_of_questions_topics_and_transports() {
        for (only, points) in [
            ("remote-ask", 3),
            ("remote-ask/tls", 1),
            ("basic/unix", 4),
            ("links,first-contact/tcp", 13),
            ("tcp", 26),
        ] {
            let plan = planned(&format!("remote --only {only} --peers raw-tcp")).expect("all names exist");
            assert_eq!(plan.points.len(), points, "{only}");
            assert_eq!(plan.peers.iter().map(|row| row.name).collect::<Vec<_>>(), ["raw-tcp"]);
        }
    }

    #[test]
    fn an_unknown_question_is_refused_with_a_suggestion() {
        let error = planned("remote --only remote-ask/tsl").expect_err("it is wrong").to_string();
        assert!(error.contains("similar value") && error.contains("'remote-ask/tls'"), "{error}");
    }

    #[test]
    fn repetitions_have_limits() {
        let most = cli::REPETITIONS_MAX;
        for (count, fine) in [(0, false), (1, true), (most, true), (most + 1, false)] {
            assert_eq!(planned(&format!("remote --reps {count}")).is_ok(), fine, "{count}");
        }
    }
}
