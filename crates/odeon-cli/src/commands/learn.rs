//! `completions` and `version`.

use std::io::Write;

use clap::CommandFactory;
use serde_json::json;

use crate::args::Cli;
use crate::context::Context;
use crate::error::CliError;

pub(crate) fn completions(context: &Context, shell: clap_complete::Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), context.name(), &mut script);
    // A closed pipe is no error.
    let _ = std::io::stdout().write_all(&script);
    Ok(())
}

pub(crate) fn version(context: &Context) -> Result<(), CliError> {
    let odeon = env!("CARGO_PKG_VERSION");
    let document = json!({ "program": context.name(), "version": context.program.version, "odeon": odeon });
    context
        .output()
        .data(&document, |_| format!("{} {} (odeon {odeon})", context.name(), context.program.version));
    Ok(())
}
