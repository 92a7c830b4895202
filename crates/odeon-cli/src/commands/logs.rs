//! `logs`: what a server has written, read from its directory, whether anything runs or not.

use odeon_ensemble::process::logs::{Follow, tail, tail_and_follow};

use crate::args::Logs;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

/// Longest part of a line held while its end has not been written.
const PARTIAL_BYTES_MAX: usize = 1024 * 1024;

pub(crate) async fn logs(context: &Context, logs: Logs) -> Result<(), CliError> {
    let id = context.server_id(&logs.id)?;
    let unwritten = || {
        let message = format!("there is no log of {}: it has never been started here", logs.id);
        CliError::failed("no-log", message).help(format!("`{} ps` shows the servers", context.name()))
    };
    let directory = context.home_if_made()?.ok_or_else(unwritten)?.server(&id).join("log");
    if !directory.is_dir() {
        return Err(unwritten());
    }
    let failed = |e| CliError::unreadable(&directory, &e);
    let show = |line: &str| print(context.output(), &logs, line);
    if !logs.follow {
        tail(&directory, logs.lines).map_err(failed)?.iter().for_each(|line| show(line));
        return Ok(());
    }
    let (last, follow) = tail_and_follow(&directory, logs.lines).map_err(failed)?;
    last.iter().for_each(|line| show(line));
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Ok(()),
        outcome = go_on(follow, show) => outcome.map_err(failed),
    }
}

async fn go_on(mut follow: Follow, show: impl Fn(&str)) -> std::io::Result<()> {
    let mut partial = Vec::new();
    loop {
        partial.extend(follow.next().await?);
        while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = partial.drain(..=end).collect();
            show(String::from_utf8_lossy(&line[..end]).as_ref());
        }
        if partial.len() > PARTIAL_BYTES_MAX {
            show(String::from_utf8_lossy(&std::mem::take(&mut partial)).as_ref());
        }
    }
}

fn print(output: Output, logs: &Logs, line: &str) {
    if logs.grep.as_ref().is_none_or(|text| line.contains(text.as_str())) {
        output.event(&serde_json::json!({ "line": line }), |_| line.to_owned());
    }
}
