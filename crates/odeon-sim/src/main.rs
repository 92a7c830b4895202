//! Runs the scenario from many seeds, or from one: `odeon-sim --seeds 20`, `odeon-sim --seed 7 --trace`.

use std::io::{self, Write};
use std::process::ExitCode;

use odeon_sim::faults::Kind;
use odeon_sim::{Keep, scenario};

const USAGE: &str = "\
usage: odeon-sim [--seeds N] [--from S] [--faults KIND,…] [--trace]
       odeon-sim --seed S [--faults KIND,…] [--trace]

Plays two servers and a registry over a simulated network with faults, once per seed.

  --seeds N   how many seeds to run (20)
  --from S    the first of them (1)
  --seed S    that seed alone
  --trace     print every event
  --faults K  faults of these kinds alone, or `all`, or `none`:
";

/// How long a line of the usage is at most, in characters.
const LINE: usize = 100;

/// What can be asked for, with every kind of fault there is.
fn usage() -> String {
    let mut usage = USAGE.to_owned();
    let mut line = " ".repeat(13);
    for (place, kind) in Kind::ALL.iter().enumerate() {
        let word = format!(" {kind}{}", if place + 1 < Kind::ALL.len() { "," } else { "" });
        if line.len() + word.len() > LINE {
            usage.push_str(&format!("{line}\n"));
            line = " ".repeat(13);
        }
        line.push_str(&word);
    }
    format!("{usage}{line}\n")
}

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    from: u64,
    seeds: u64,
    kinds: Vec<Kind>,
    keep: Keep,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return finish(write!(io::stdout(), "{}", usage()), ExitCode::SUCCESS),
        Err(error) => return finish(write!(io::stderr(), "{error}\n\n{}", usage()), ExitCode::from(2)),
    };
    match run(&options, &mut io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => finish(writeln!(io::stderr(), "odeon-sim: {error}"), ExitCode::FAILURE),
    }
}

/// A reader that has gone away does not change the outcome.
fn finish(_: io::Result<()>, code: ExitCode) -> ExitCode {
    code
}

/// Runs every seed; how many failed.
fn run(options: &Options, out: &mut impl Write) -> io::Result<u64> {
    let (mut failed, mut events) = (0, 0);
    for seed in options.from..options.from.saturating_add(options.seeds) {
        let report = scenario::run_with(seed, &options.kinds, options.keep)?;
        events += report.events;
        for line in &report.lines {
            writeln!(out, "{line}")?;
        }
        if report.broken.is_empty() {
            continue;
        }
        failed += 1;
        writeln!(out, "seed {seed} failed (trace {}):", report.hash)?;
        for planned in &report.plan {
            writeln!(out, "  fault: {planned}")?;
        }
        for broken in &report.broken {
            writeln!(out, "  broken: {broken}")?;
        }
        writeln!(out, "  replay: {}", replay(seed, &options.kinds))?;
    }
    let passed = options.seeds - failed;
    writeln!(out, "{passed} seeds passed, {failed} failed, {events} events")?;
    Ok(failed)
}

/// The command that runs one seed again and prints every event.
fn replay(seed: u64, kinds: &[Kind]) -> String {
    let faults = match kinds {
        kinds if *kinds == Kind::USUAL => String::new(),
        [] => " --faults none".to_owned(),
        kinds if *kinds == Kind::ALL => " --faults all".to_owned(),
        kinds => {
            let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
            format!(" --faults {}", names.join(","))
        }
    };
    format!("cargo run -p odeon-sim -- --seed {seed}{faults} --trace")
}

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    match text {
        "all" => Ok(Kind::ALL.into()),
        "none" => Ok(Vec::new()),
        text => text.split(',').map(str::parse).collect(),
    }
}

/// Reads the arguments; nothing where help is wanted.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { from: 1, seeds: 20, kinds: Kind::USUAL.into(), keep: Keep::Hash };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| {
            text.parse().map_err(|_| format!("{argument} needs a number, and `{text}` is none"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--seed" => (options.from, options.seeds) = (number(value()?)?, 1),
            "--faults" => options.kinds = kinds(&value()?)?,
            "--trace" => options.keep = Keep::Lines,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Options>, String> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_say_what_to_run() {
        let options =
            |from, seeds, kinds: &[Kind], keep| Ok(Some(Options { from, seeds, kinds: kinds.into(), keep }));
        let usual = &Kind::USUAL;
        assert_eq!(parsed(""), options(1, 20, usual, Keep::Hash));
        assert_eq!(parsed("--seeds 5 --from 7"), options(7, 5, usual, Keep::Hash));
        assert_eq!(parsed("--seed 9 --trace"), options(9, 1, usual, Keep::Lines));
        let two = [Kind::Loss, Kind::OneWay];
        assert_eq!(parsed("--faults loss,one-way"), options(1, 20, &two, Keep::Hash));
        assert_eq!(parsed("--faults all"), options(1, 20, &Kind::ALL, Keep::Hash));
        assert_eq!(parsed("--help"), Ok(None));
        for wrong in ["--seeds", "--seeds many", "--sed 1", "--faults", "--faults gremlins"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_usage_names_every_kind_of_fault() {
        let usage = usage();
        let (_, named) = usage.split_once("`none`:").expect("a list");
        let named: Vec<_> = named.split(',').map(str::trim).collect();
        assert_eq!(named, Kind::ALL.map(Kind::as_str));
        assert!(usage.lines().all(|line| line.chars().count() <= LINE), "{usage}");
    }

    #[test]
    fn a_replay_is_read_as_the_run_it_replays() {
        for kinds in [&Kind::USUAL[..], &Kind::ALL, &[Kind::Loss, Kind::Crash], &[]] {
            let command = replay(7, kinds);
            let (_, arguments) = command.split_once(" -- ").expect("arguments");
            let wanted = Options { from: 7, seeds: 1, kinds: kinds.into(), keep: Keep::Lines };
            assert_eq!(parsed(arguments), Ok(Some(wanted)));
        }
    }
}
