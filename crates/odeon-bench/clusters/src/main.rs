//! `ractor_cluster` and kameo's `remote` beside Odeon: two processes, the questions of `remote/drive.rs`.
//!
//! `odeon-bench` starts this program twice for each repetition: `far PEER RUNTIME` prints a JSON array with its
//! address and serves until its standard input ends; `near PEER RUNTIME QUESTION COUNT ADDRESS` measures once and
//! prints its sample as one line of JSON.

mod drive;
mod kameo;
mod ractor;

use std::{env, io::Read as _, process::ExitCode};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("odeon-bench-clusters: {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Failure> {
    match *arguments {
        ["far", "ractor-cluster", runtime] => on(runtime)?.block_on(ractor::far()),
        ["far", "kameo", runtime] => on(runtime)?.block_on(kameo::far()),
        ["near", "ractor-cluster", runtime, question, count, address] => {
            let (count, address) = (count.parse()?, address.to_owned());
            drive::print(on(runtime)?.block_on(drive::run::<ractor::Ractor>(question, count, address))?)
        }
        ["near", "kameo", runtime, question, count, address] => {
            let (count, address) = (count.parse()?, address.to_owned());
            drive::print(on(runtime)?.block_on(drive::run::<kameo::Kameo>(question, count, address))?)
        }
        _ => Err("expected `far PEER RUNTIME` or `near PEER RUNTIME QUESTION COUNT ADDRESS`".into()),
    }
}

fn on(runtime: &str) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = match runtime {
        "1t" => tokio::runtime::Builder::new_current_thread(),
        "2w" => tokio::runtime::Builder::new_multi_thread(),
        other => return Err(format!("no runtime `{other}`: 1t or 2w").into()),
    };
    Ok(builder.worker_threads(2).enable_all().build()?)
}

/// Says where the far process is, and serves until nobody needs it.
async fn announce_and_wait(address: &str) -> Result<(), Failure> {
    println!("[\"{address}\"]");
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
