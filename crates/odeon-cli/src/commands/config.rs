//! `config check`: the ensemble's file, with every mistake in it.

use std::path::Path;

use odeon_ensemble::config::{ConfigErrors, Ensemble};

use crate::args::Config;
use crate::context::{Context, FILE};
use crate::error::CliError;

pub(crate) fn config(context: &Context, config: &Config) -> Result<(), CliError> {
    let Config::Check { file } = config;
    let path = match file {
        Some(file) => file.clone(),
        None => Context::project().map(|project| project.join(FILE)).ok_or_else(no_file)?,
    };
    let ensemble = load(context, &path)?;
    context.output().data(&ensemble, |ensemble| {
        let servers: Vec<String> = ensemble.servers().iter().map(|s| s.id.short(&ensemble.domain)).collect();
        format!("{} is right: domain {}, servers {}", path.display(), ensemble.domain, servers.join(", "))
    });
    Ok(())
}

/// Reads the ensemble's file and checks that the program has its roles.
pub(crate) fn load(context: &Context, path: &Path) -> Result<Ensemble, CliError> {
    if path.try_exists().is_ok_and(|exists| !exists) {
        let help = "write one with a table `[roles.NAME]` for each role, or name another file";
        return Err(CliError::failed("config", format!("there is no file {}", path.display())).help(help));
    }
    let checked = Ensemble::load(path).and_then(|ensemble| {
        let roles = context.program.roles.names();
        // The plain `odeon` binary has no roles of its own; it can still check a file for another program.
        if roles.is_empty() { Ok(ensemble) } else { ensemble.check_roles(&roles).map(|()| ensemble) }
    });
    checked.map_err(|errors| refused(&errors))
}

pub(crate) fn no_file() -> CliError {
    CliError::usage(format!("there is no {FILE} here or above")).help("name its directory, or write one")
}

fn refused(errors: &ConfigErrors) -> CliError {
    let mut error =
        CliError::failed("config", format!("the ensemble's file is refused; nothing was started\n{errors}"));
    if let serde_json::Value::Object(details) = errors.to_json() {
        error.details = details;
    }
    error
}
