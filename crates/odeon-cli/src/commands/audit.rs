//! `audit`: who did what by which right, and who was refused.

use std::path::Path;

use odeon_core::moment;
use odeon_ensemble::supervisor::supervisor_id;
use odeon_server::{AUDIT_FILE, AUDIT_REFUSED_FILE, ControlCalls as _};
use serde_json::Value;

use crate::args::AuditArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::output::Output;

/// Longest part of a file that is read, in bytes: more than it grows to.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// From the files, if the server has run in this home: they are there whether it runs or not. Else it is asked.
pub(crate) async fn audit(context: &Context, options: AuditArgs) -> Result<(), CliError> {
    let most = options.lines as usize;
    if let Some(file) = &options.file {
        let text = read(file).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => not_a_log(file),
            _ => CliError::unreadable(file, &e),
        })?;
        if !is_log(&text) {
            return Err(not_a_log(file));
        }
        return show(context.output(), text.lines().map(ToOwned::to_owned).collect(), most);
    }
    let id = match &options.server {
        Some(server) => context.server_id(server)?,
        None => supervisor_id(&context.domain()),
    };
    let directory = context.home_if_made()?.filter(|home| home.has_run(&id)).map(|home| home.server(&id));
    if let Some(directory) = directory {
        let before = |name: &str| directory.join(format!("{name}.1"));
        let files = [
            before(AUDIT_FILE),
            directory.join(AUDIT_FILE),
            before(AUDIT_REFUSED_FILE),
            directory.join(AUDIT_REFUSED_FILE),
        ];
        let texts = files.iter().filter_map(|file| read(file).ok());
        let lines = texts.flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
        return show(context.output(), lines, most);
    }
    let console = context.console().await?;
    let control = console.control(&id).await?;
    show(context.output(), control.audit(options.lines).within(console.timeout).await?, most)
}

fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a text is an audit log: empty, or with one line at least that tells of an act.
fn is_log(text: &str) -> bool {
    text.trim().is_empty() || text.lines().any(|line| act_of(line).is_some())
}

fn not_a_log(file: &Path) -> CliError {
    let message = format!("{} is no audit log: no line of it tells of an act", file.display());
    CliError::failed("not-an-audit-log", message)
        .help(format!("name a server's `{AUDIT_FILE}` or `{AUDIT_REFUSED_FILE}`, or a copy of one"))
}

/// The act that a line tells of. One that was cut by a power failure tells of none.
fn act_of(line: &str) -> Option<Value> {
    let act: Value = serde_json::from_str(line).ok()?;
    (act["unix_ms"].is_u64() && act["peer"].is_string() && act["allowed"].is_boolean()).then_some(act)
}

fn show(output: Output, lines: Vec<String>, most: usize) -> Result<(), CliError> {
    let mut acts: Vec<Value> = lines.iter().filter_map(|line| act_of(line)).collect();
    acts.sort_by_key(|act| act["unix_ms"].as_u64());
    let skipped = acts.len().saturating_sub(most);
    for act in acts.iter().skip(skipped) {
        output.event(act, show_act);
    }
    Ok(())
}

fn show_act(act: &Value) -> String {
    let text = |key: &str| act[key].as_str().unwrap_or("-").to_owned();
    let decision = if act["allowed"] == true { "allowed" } else { "refused" };
    let mut line = format!(
        "{}  {decision}  {} over {}: {} at actor {} ({}); {}",
        moment(act["unix_ms"].as_u64().unwrap_or_default() / 1000),
        text("peer"),
        text("transport"),
        text("mark"),
        text("actor"),
        text("capability"),
        text("why"),
    );
    if let Some(so_far) = act["so_far"].as_u64().filter(|so_far| *so_far > 1) {
        line.push_str(&format!("; the {so_far}th of its kind within a minute"));
    }
    if let Some(left_out) = act["left_out"].as_u64() {
        line.push_str(&format!("; {left_out} more since the line before are not written"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_an_act_or_nothing_and_its_last_line_may_be_cut() {
        let act = r#"{"unix_ms":0,"peer":"a@/","allowed":true}"#;
        assert!(is_log("") && is_log(act) && is_log(&format!("{act}\n{{\"unix_ms\":1,\"pe")));
        for other in ["domain = \"/\"\n", "{}\n", r#"{"unix_ms":"0","peer":"a@/","allowed":true}"#, "[1]"] {
            assert!(!is_log(other), "{other}");
        }
    }

    #[test]
    fn an_act_is_one_line() {
        let act = serde_json::json!({
            "unix_ms": 0, "peer": "a@/", "transport": "tcp", "mark": "server/1#shutdown", "actor": "0",
            "capability": "shutdown", "allowed": false, "why": "no right", "so_far": 4, "left_out": 2,
        });
        let line = show_act(&act);
        assert!(line.starts_with("1970-01-01T00:00:00Z  refused  a@/ over tcp: server/1#shutdown"), "{line}");
        assert!(
            line.ends_with(
                "the 4th of its kind within a minute; 2 more since the line before are not written"
            ),
            "{line}"
        );
    }
}
