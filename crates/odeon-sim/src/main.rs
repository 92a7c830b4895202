//! Runs the scenario from many seeds, or from one: `odeon-sim --seeds 20`, `odeon-sim --seed 7 --trace`.

use std::io::{self, Write};
use std::process::ExitCode;

use odeon_sim::{Keep, scenario};

const USAGE: &str = "\
usage: odeon-sim [--seeds N] [--from S] [--trace]
       odeon-sim --seed S [--trace]

Plays two servers and a registry over a simulated network with faults, once per seed.

  --seeds N   how many seeds to run (20)
  --from S    the first of them (1)
  --seed S    that seed alone
  --trace     print every event
";

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    from: u64,
    seeds: u64,
    keep: Keep,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return finish(write!(io::stdout(), "{USAGE}"), ExitCode::SUCCESS),
        Err(error) => return finish(write!(io::stderr(), "{error}\n\n{USAGE}"), ExitCode::from(2)),
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
        let report = scenario::run(seed, options.keep)?;
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
        writeln!(out, "  replay: cargo run -p odeon-sim -- --seed {seed} --trace")?;
    }
    let passed = options.seeds - failed;
    writeln!(out, "{passed} seeds passed, {failed} failed, {events} events")?;
    Ok(failed)
}

/// Reads the arguments; nothing where help is wanted.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { from: 1, seeds: 20, keep: Keep::Hash };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            text.parse().map_err(|_| format!("{argument} needs a number, and `{text}` is none"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--seed" => (options.from, options.seeds) = (number()?, 1),
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
        let options = |from, seeds, keep| Ok(Some(Options { from, seeds, keep }));
        assert_eq!(parsed(""), options(1, 20, Keep::Hash));
        assert_eq!(parsed("--seeds 5 --from 7"), options(7, 5, Keep::Hash));
        assert_eq!(parsed("--seed 9 --trace"), options(9, 1, Keep::Lines));
        assert_eq!(parsed("--help"), Ok(None));
        for wrong in ["--seeds", "--seeds many", "--sed 1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
