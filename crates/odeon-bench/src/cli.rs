//! The command line: what may be asked for, and how a failure is told.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};

use crate::{
    error::{BenchError, JobError},
    machine::Machine,
    peers::{self, REGISTRY, Row},
    remote, report,
    session::{self, Plan},
    workload::{Group, Job, Runtime, Scale, Workload},
};

/// Repetitions of a run. More than this is a day of work and no better median.
pub(crate) const REPETITIONS_MAX: u16 = 99;

/// Actors one measuring process spawns: a hundred times the published size.
const SPAWN_COUNT_MAX: u32 = 100_000_000;

/// Measure Odeon beside its peers.
#[derive(Debug, Parser)]
#[command(name = "odeon-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Actors inside one process: one figure for each thing they do, and the Savina programs
    Local(LocalArgs),
    /// Servers in two processes: latency, throughput, sizes, links, and what an idle link costs
    Remote(remote::RemoteArgs),
    /// Serve the near process
    #[command(name = remote::FAR_COMMAND, hide = true)]
    RemoteFar(remote::SideArgs),
    /// Take one remote measurement in this process
    #[command(name = remote::NEAR_COMMAND, hide = true)]
    RemoteNear(remote::SideArgs),
    /// Take one spawn measurement in this process
    #[command(name = session::CHILD_COMMAND, hide = true)]
    SpawnChild(SpawnChildArgs),
}

#[derive(Debug, Args)]
struct LocalArgs {
    /// Workloads or groups of them to run, separated by commas
    #[arg(long, value_name = "WORKLOADS", value_delimiter = ',', value_parser = workload_names())]
    only: Vec<String>,
    /// Peers to compare, separated by commas
    #[arg(long, value_name = "PEERS", value_delimiter = ',', value_parser = peer_names())]
    peers: Vec<String>,
    /// Repetitions; the median is shown
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(REPETITIONS_MAX)))]
    reps: u16,
    /// Threads to run on
    #[arg(long, default_value = "both")]
    runtime: RuntimeChoice,
    /// Do a twentieth of the work: shows that all is well, not how fast
    #[arg(long)]
    quick: bool,
    /// Write the figures as one JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SpawnChildArgs {
    #[arg(long, value_parser = peer_names())]
    peer: String,
    #[arg(long)]
    runtime: Runtime,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(SPAWN_COUNT_MAX)))]
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeChoice {
    /// One thread
    #[value(name = "1t")]
    OneThread,
    /// Two workers
    #[value(name = "2w")]
    TwoWorkers,
    /// One after the other
    Both,
}

impl RuntimeChoice {
    /// The runtimes that are meant.
    pub(crate) fn runtimes(self) -> Vec<Runtime> {
        match self {
            Self::OneThread => vec![Runtime::OneThread],
            Self::TwoWorkers => vec![Runtime::TwoWorkers],
            Self::Both => vec![Runtime::OneThread, Runtime::TwoWorkers],
        }
    }
}

/// Parses the arguments, measures, reports. Exit codes: 0 done, 1 failed, 2 not understood.
pub(crate) fn run() -> ExitCode {
    let command = Cli::parse().command;
    if cfg!(debug_assertions) && matches!(command, Command::Local(_) | Command::Remote(_)) {
        eprintln!(
            "odeon-bench: built without optimisation, the figures mean nothing; use `cargo run --release`"
        );
    }
    let done = match command {
        Command::Local(args) => local(&args),
        Command::Remote(args) => remote::remote(&args),
        Command::RemoteFar(args) => remote::far_side(&args),
        Command::RemoteNear(args) => remote::near_side(&args),
        Command::SpawnChild(args) => spawn_child(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nodeon-bench: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn local(args: &LocalArgs) -> Result<(), BenchError> {
    for path in args.json.iter().chain(&args.svg) {
        look_for_directory(path)?;
    }
    let machine = Machine::read();
    let plan = plan(args);
    let skipped = skipped(&plan);
    eprint!("{skipped}");
    let figures = session::measure(&plan)?;
    print(&format!("{skipped}{}", report::table::render(&figures, &machine)))?;
    if let Some(path) = &args.json {
        write(path, &report::json::render(&figures).map_err(BenchError::Json)?)?;
    }
    if let Some(path) = &args.svg {
        write(path, &report::svg::render(&figures, &machine))?;
    }
    Ok(())
}

fn spawn_child(args: &SpawnChildArgs) -> Result<(), BenchError> {
    let row = named(&args.peer);
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    let failed = |source: JobError| BenchError::Job {
        workload: Workload::Spawn.name(),
        runtime: args.runtime.label(),
        peer: row.name,
        source,
    };
    let job = Job { workload: Workload::Spawn, runtime: args.runtime, count };
    let sample = row.run(job).map_err(failed)?;
    print(&serde_json::to_string(&sample).map_err(BenchError::Json)?)
}

fn plan(args: &LocalArgs) -> Plan {
    let named =
        |one: &Workload| args.only.iter().any(|name| name == one.name() || name == one.group().name());
    let asked_for = |row: &&Row| args.peers.is_empty() || args.peers.iter().any(|name| name == row.name);
    let (peers, skipped) = REGISTRY.iter().filter(asked_for).partition(|row| row.missing().is_none());
    Plan {
        workloads: Workload::all().filter(|one| args.only.is_empty() || named(one)).collect(),
        peers,
        skipped,
        runtimes: args.runtime.runtimes(),
        repetitions: usize::from(args.reps),
        scale: if args.quick { Scale::Quick } else { Scale::Full },
    }
}

/// A line for every peer that is left out, so that nobody takes it for forgotten.
fn skipped(plan: &Plan) -> String {
    let line = |row: &&Row| format!("{}: skipped: {}\n", row.name, row.missing().unwrap_or_default());
    plan.skipped.iter().map(line).collect()
}

fn workload_names() -> PossibleValuesParser {
    let groups = Group::ALL.into_iter().map(Group::name);
    PossibleValuesParser::new(groups.chain(Workload::all().map(Workload::name)))
}

fn peer_names() -> PossibleValuesParser {
    PossibleValuesParser::new(REGISTRY.iter().map(|row| row.name))
}

fn named(name: &str) -> &'static Row {
    peers::find(name).expect("the argument's parser takes registered names only")
}

/// Refuses a report that has nowhere to go before the measurements, not half an hour later.
pub(crate) fn look_for_directory(path: &Path) -> Result<(), BenchError> {
    let named = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    fs::read_dir(named.unwrap_or_else(|| Path::new(".")))
        .map(drop)
        .map_err(|source| BenchError::Write { path: path.to_owned(), source })
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(|source| BenchError::Write { path: path.to_owned(), source })
}

pub(crate) fn print(text: &str) -> Result<(), BenchError> {
    writeln!(io::stdout().lock(), "{text}").map_err(BenchError::Print)
}

/// The error and its sources, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::savina::Program;

    fn parse(arguments: &str) -> Result<LocalArgs, clap::Error> {
        match Cli::try_parse_from(arguments.split_whitespace())?.command {
            Command::Local(args) => Ok(args),
            _ => panic!("the tests ask for `local`"),
        }
    }

    fn refusal(arguments: &str) -> String {
        let error = parse(arguments).expect_err("it is wrong");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_said_means_everything() {
        let plan = plan(&parse("odeon-bench local").expect("it is complete"));
        assert_eq!(plan.workloads.len(), 6 + 12);
        assert_eq!(plan.peers.len() + plan.skipped.len(), REGISTRY.len());
        assert_eq!(plan.runtimes, [Runtime::OneThread, Runtime::TwoWorkers]);
        assert_eq!((plan.repetitions, plan.scale), (5, Scale::Full));
    }

    #[test]
    fn a_selection_keeps_the_order_of_the_table() {
        let line = "odeon-bench local --only spawn,ask --peers kanal,ractor --runtime 2w --quick --reps 1";
        let plan = plan(&parse(line).expect("all names exist"));
        assert_eq!(plan.workloads, [Workload::Ask, Workload::Spawn]);
        assert_eq!(plan.peers.iter().map(|row| row.name).collect::<Vec<_>>(), ["ractor", "kanal"]);
        assert_eq!(plan.runtimes, [Runtime::TwoWorkers]);
        assert_eq!((plan.repetitions, plan.scale), (1, Scale::Quick));
    }

    #[test]
    fn a_group_means_its_workloads() {
        let line = "odeon-bench local --only skynet,basic";
        let plan = plan(&parse(line).expect("all names exist"));
        assert_eq!(plan.workloads.len(), 7);
        assert_eq!(plan.workloads.last(), Some(&Workload::Savina(Program::Skynet)));
    }

    #[test]
    fn an_unknown_workload_is_refused_with_the_list_and_a_suggestion() {
        let text = refusal("odeon-bench local --only ask,fanin");
        assert!(text.contains("basic, savina, ask, tell, fan-in, fan-out, ring, spawn, ping-pong"), "{text}");
        assert!(text.contains("similar value exists: 'fan-in'"), "{text}");
    }

    #[test]
    fn an_unknown_peer_is_refused_with_the_list_and_a_suggestion() {
        let text = refusal("odeon-bench local --peers ractr");
        assert!(text.contains("odeon, ractor, kameo, actix, coerce, erlang, tokio-mpsc, kanal"), "{text}");
        assert!(text.contains("similar value exists: 'ractor'"), "{text}");
    }

    #[test]
    fn repetitions_have_limits() {
        for (count, fine) in [(0, false), (1, true), (REPETITIONS_MAX, true), (REPETITIONS_MAX + 1, false)] {
            assert_eq!(parse(&format!("odeon-bench local --reps {count}")).is_ok(), fine, "{count}");
        }
    }

    #[test]
    fn spawned_actors_have_limits() {
        for (count, fine) in [(0, false), (1, true), (SPAWN_COUNT_MAX, true), (SPAWN_COUNT_MAX + 1, false)] {
            let line = format!("odeon-bench spawn-child --peer kanal --runtime 1t --count {count}");
            assert_eq!(Cli::try_parse_from(line.split_whitespace()).is_ok(), fine, "{count}");
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("missing").join("figures.json");
        let error = write(&path, "[]").expect_err("its directory does not exist");
        let text = chain(&error);
        assert!(text.starts_with("cannot write "), "{text}");
        assert!(text.contains("figures.json; check that its directory exists"), "{text}");
        assert!(text.ends_with("No such file or directory (os error 2)"), "{text}");
    }
}
