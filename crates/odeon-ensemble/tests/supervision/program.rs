//! The program under supervision: its roles, and the supervisor in a process of its own.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{Selection, SupervisorCalls};
use odeon_ensemble::{Node, NodeConfig, RoleError, Roles};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::harness::until;
use crate::stage::{Setting, no_hook};

/// Runs a server or a supervisor, if the command line asks for one.
pub(crate) fn run() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match args[..] {
        ["serve", id, ref args @ ..] => {
            let args = args.iter().map(ToString::to_string).collect();
            Some(runtime().block_on(serve(id, args)))
        }
        ["supervise", root, ready] => {
            runtime().block_on(supervise(Path::new(root), Path::new(ready)));
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

async fn serve(id: &str, args: Vec<String>) -> ExitCode {
    let mut roles = Roles::new();
    let role = |name: &str| name.parse().expect("a role");
    roles.insert(role("idle"), idle);
    roles.insert(role("echo"), echo);
    roles.insert(role("dies"), dies);
    roles.insert(role("slow"), slow);
    roles.insert(role("stubborn"), stubborn);
    let outcome = match NodeConfig::from_environment(id, args) {
        Ok(config) => roles.serve(config).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", odeon_core::chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn idle(node: Node) -> Result<(), RoleError> {
    node.ready().await;
    node.shutdown_requested().await;
    Ok(())
}

/// Answers each connection to its socket with its process id.
async fn echo(node: Node) -> Result<(), RoleError> {
    let listener = node.take_listeners().into_iter().next().ok_or("no socket was passed")?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    node.ready().await;
    loop {
        tokio::select! {
            () = node.shutdown_requested() => return Ok(()),
            accepted = listener.accept() => {
                accepted?.0.write_all(std::process::id().to_string().as_bytes()).await?;
            }
        }
    }
}

async fn dies(node: Node) -> Result<(), RoleError> {
    eprintln!("these are last words: {}", node.args().join(" "));
    Err("it is in its nature".into())
}

/// Ready when the file of its settings is there.
async fn slow(node: Node) -> Result<(), RoleError> {
    #[derive(Deserialize)]
    struct Settings {
        file: std::path::PathBuf,
    }
    let Settings { file } = node.settings()?;
    tokio::select! {
        () = node.shutdown_requested() => return Ok(()),
        () = until("the file is there", || file.exists()) => {}
    }
    idle(node).await
}

/// Neither hears nor sees.
async fn stubborn(node: Node) -> Result<(), RoleError> {
    node.ready().await;
    std::future::pending().await
}

/// Supervises the ensemble in `root` until it is killed; makes the file `ready` when everything is up.
async fn supervise(root: &Path, ready: &Path) {
    let setting = Setting::at(root);
    let supervision = setting.start(no_hook()).await.expect("starts");
    let handle = supervision.handle().clone();
    let mut are_ready = false;
    while !are_ready {
        let rows = handle.ps(Selection::default()).await.expect("rows");
        are_ready = rows.iter().all(|row| row.process.state == Phase::Ready);
        tokio::task::yield_now().await;
    }
    fs::write(ready, "").expect("writes");
    until("somebody kills this process", || false).await;
}
