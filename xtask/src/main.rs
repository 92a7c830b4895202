//! The chores of this repository: `cargo xtask help` lists them.
//!
//! `tidy` keeps the rules that compiler and clippy do not know. It is fast (no build, one pass over
//! the files), so that it can run before every commit.

mod checks;
mod finding;
mod source;
mod tidy;
mod tree;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tidy::Format;

const HELP: &str = "\
usage: cargo xtask COMMAND

  tidy [--json]   check the rules of the house: layers, file lengths, docs, words, links, features
  help            this text

exit status: 0 nothing found, 1 findings or failure, 2 wrong usage
";

/// Exit status for a command line that is not understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["tidy"] => tidy(Format::Lines),
        ["tidy", "--json"] => tidy(Format::Json),
        ["help" | "--help" | "-h"] => print_help(&mut io::stdout(), ExitCode::SUCCESS),
        _ => print_help(&mut io::stderr(), ExitCode::from(USAGE)),
    }
}

fn tidy(format: Format) -> ExitCode {
    let root = root();
    match tidy::inspect(&root) {
        Ok(findings) => match tidy::print(&findings, format, io::stdout().lock()) {
            Ok(()) if findings.is_empty() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("tidy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_help(to: &mut impl Write, status: ExitCode) -> ExitCode {
    match to.write_all(HELP.as_bytes()) {
        Ok(()) => status,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The root of the repository: cargo says where this crate lies, one level below it.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.and_then(|here| here.parent().map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("."))
}
