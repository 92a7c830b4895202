//! The program whose command line this is, and its `main`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use odeon_ensemble::Roles;
use odeon_ensemble::process::run_hidden;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Cli, Command};
use crate::commands;
use crate::context::Context;
use crate::error::{CliError, ExitStatus};

/// A program with roles.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name, as people type it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The functions of its roles.
    pub roles: Roles,
}

/// Runs the command line of `program` with these arguments, the program's own name first.
#[must_use]
pub fn run(program: Program, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Shims are this same executable; they must begin before anything else has.
    if let Some(code) = run_hidden() {
        return code;
    }
    let (name, version) = (leak(&program.name), leak(&program.version));
    let command = Cli::command().name(name).bin_name(name).version(version);
    let args: Vec<OsString> = args.into_iter().collect();
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = match command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            if error.use_stderr() && wants_json {
                fail(&CliError::usage(error.to_string().trim().trim_start_matches("error: ")), true);
            } else {
                // A closed pipe is not worth a word.
                let _ = error.print();
            }
            return ExitCode::from(code);
        }
    };
    let _collector = match start_logging(&cli.command, &program.name) {
        Ok(collector) => collector,
        Err(error) => {
            fail(&error, cli.global.json);
            return ExitCode::from(error.status as u8);
        }
    };
    let json = cli.global.json;
    let outcome = runtime(&cli.command).and_then(|runtime| {
        let outcome = runtime.block_on(execute(&program, cli));
        // A lookup that hangs must not keep the process.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error, json);
            ExitCode::from(error.status as u8)
        }
    }
}

/// Says why the command failed.
fn fail(error: &CliError, json: bool) {
    let text = if json { error.to_json().to_string() } else { error.to_string() };
    // Nobody reads any longer: the exit status says it too.
    let _ = writeln!(std::io::stderr(), "{text}");
}

async fn execute(program: &Program, cli: Cli) -> Result<(), CliError> {
    let Cli { global, command } = cli;
    let context = Context::new(program.clone(), global);
    match command {
        Command::Up(up) => commands::up::up(&context, up).await,
        Command::Down => commands::up::down(&context).await,
        Command::Supervisor { dir, report } => commands::up::supervisor(&context, dir, report).await,
        Command::Serve { id, args } => commands::serve::serve(&context, &id, args).await,
        Command::Ps(select) => commands::see::ps(&context, select).await,
        Command::Status { id, metrics } => commands::see::status(&context, &id, metrics).await,
        Command::Logs(logs) => commands::logs::logs(&context, logs).await,
        Command::Ping { target } => commands::see::ping(&context, &target).await,
        Command::List(list) => commands::see::list(&context, list).await,
        Command::Lookup { id, role } => commands::see::lookup(&context, id, role).await,
        Command::Describe { target } => commands::talk::describe(&context, &target).await,
        Command::Tell(message) => commands::talk::tell(&context, message).await,
        Command::Ask(message) => commands::talk::ask(&context, message).await,
        Command::Start { role, id } => commands::steer::start(&context, role, &id).await,
        Command::Stop(chosen) => commands::steer::stop(&context, chosen).await,
        Command::Restart(chosen) => commands::steer::restart(&context, chosen).await,
        Command::Scale { role, workers } => commands::steer::scale(&context, role, workers).await,
        Command::Shutdown { target } => commands::steer::shutdown(&context, &target).await,
        Command::Connect { from, to, addresses } => {
            commands::steer::connect(&context, &from, &to, addresses).await
        }
        Command::Admin(admin) => commands::admin::admin(&context, admin).await,
        Command::Can(question) => commands::can::can(&context, question).await,
        Command::Audit(options) => commands::audit::audit(&context, options).await,
        Command::Ca(ca) => commands::ca::ca(&context, ca).await,
        Command::Package(package) => commands::package::package(&context, &package),
        Command::Unpack(unpack) => commands::package::unpack(&context, &unpack),
        Command::Config(config) => commands::config::config(&context, &config),
        Command::Completions { shell } => commands::learn::completions(&context, shell),
        Command::Version => commands::learn::version(&context),
    }
}

/// Servers use every core; a command that asks one question needs no threads.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, CliError> {
    let mut builder = match command {
        Command::Serve { .. } => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder
        .enable_all()
        .build()
        .map_err(|e| CliError::new(ExitStatus::Failed, "runtime", format!("the runtime cannot start: {e}")))
}

/// What has spans sent to a collector, until it is dropped.
#[cfg(feature = "otlp")]
type Collector = crate::otlp::Collector;
#[cfg(not(feature = "otlp"))]
type Collector = std::convert::Infallible;

/// Servers log to standard error, which their shim keeps; commands show warnings only. A collector, where one is named,
/// gets spans whatever is logged.
fn start_logging(command: &Command, program: &str) -> Result<Option<Collector>, CliError> {
    let default = match command {
        Command::Serve { .. } | Command::Supervisor { .. } => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otlp")]
    {
        let collector = Collector::of_environment(program).map_err(CliError::usage)?;
        let spans = collector.as_ref().map(Collector::layer);
        let spans = spans.map(|spans| spans.with_filter(EnvFilter::new("info,odeon::link=debug")));
        // A program that embeds the command line may have set up its own.
        let _ = subscriber.with(spans).try_init();
        Ok(collector)
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = program;
        // A program that embeds the command line may have set up its own.
        let _ = subscriber.try_init();
        Ok(None)
    }
}

/// Clap wants names that live as long as the program.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
