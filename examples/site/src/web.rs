//! Role `web`: serves a directory over HTTP on the sockets that the supervisor holds, with a greeting that an
//! actor keeps.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use odeon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::greeter::{Greeter, GreeterCalls};

/// What the ensemble's file says to the role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The directory that is served, relative to that of the file.
    root: PathBuf,
    /// The first greeting.
    #[serde(default = "default_greeting")]
    greeting: String,
}

fn default_greeting() -> String {
    "Welcome.".to_owned()
}

/// What `/greeting` answers.
#[derive(Debug, Serialize)]
struct Greeting {
    text: String,
    served_by: String,
}

#[derive(Debug, Clone)]
struct Site {
    greeter: Handle<Greeter>,
    server: HeaderValue,
}

/// Runs one worker.
///
/// # Errors
/// When the settings do not fit, the directory is not there, or there is no socket to serve on.
pub async fn serve(node: Node) -> Result<(), RoleError> {
    let settings: Settings = node.settings()?;
    let greeter = node.spawn("greeter", Greeter::new(settings.greeting))?;
    let server = HeaderValue::from_str(node.id().name())?;
    let site = Site { greeter, server: server.clone() };
    let app = files::router(&settings.root, server)?.merge(greeting(site));
    let sockets = node.take_listeners();
    if sockets.is_empty() {
        return Err("role `web` needs a listening socket: say `listen = [\"tcp:127.0.0.1:8080\"]`".into());
    }
    let mut serving = tokio::task::JoinSet::new();
    for socket in sockets {
        // A page's headers and its beginning are two writes; the second must not wait for an acknowledgement.
        let socket = tokio::net::TcpListener::from_std(socket)?.tap_io(|connection| {
            // Slower, not wrong, without it.
            let _ = connection.set_nodelay(true);
        });
        let ending = node.clone();
        let server = axum::serve(socket, app.clone());
        let server = server.with_graceful_shutdown(async move { ending.shutdown_requested().await });
        serving.spawn(server.into_future());
    }
    node.ready().await;
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}

fn greeting(site: Site) -> Router {
    Router::new().route("/greeting", get(greet)).with_state(site)
}

async fn greet(State(site): State<Site>) -> Response {
    match site.greeter.greeting().await {
        Ok(text) => {
            let served_by = site.server.to_str().unwrap_or_default().to_owned();
            // Closed, so that a browser that asks again may reach another worker.
            let headers = [
                (header::CONNECTION, HeaderValue::from_static("close")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (files::SERVED_BY, site.server),
            ];
            (headers, Json(Greeting { text, served_by })).into_response()
        }
        Err(error) => (axum::http::StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
