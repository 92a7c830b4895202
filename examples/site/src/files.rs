//! A directory of pages over HTTP.
//!
//! `tower-http`'s `ServeDir` does the serving: content types, ranges, `ETag` and `Last-Modified` with their
//! conditions, `HEAD`, redirects to `dir/`. This module adds what a public directory needs besides:
//!
//! - nothing outside the root, not even through a symbolic link; no dot files; no devices or pipes;
//! - `If-Range`, so that a resumed download never mixes two versions of a file;
//! - a page for "not found", `charset=utf-8` for text, and the name of the server that answered.
//!
//! There is no state but the canonical root: every answer is read from the file system. A response holds one open
//! file and one chunk of [`CHUNK_BYTES_MAX`]; how many responses there are at once is for the owner of the
//! listening socket to bound.
//!
//! The check of a path and its opening are two steps. Who can swap a directory of the root for a link between the
//! two can already write the site; serve only roots whose writers you trust.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::handler::HandlerWithoutStateExt;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_MATCH, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, TokioBackend, TokioFile};

/// The header that names the server which answered.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Bytes of a file that one response holds in memory. Larger chunks save few system calls and cost memory for
/// every reader that is slow.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Serves the directory `root`; every answer carries [`SERVED_BY`]` = server`.
///
/// `GET` and `HEAD` of a file answer with its bytes, of a directory with its `index.html`. One byte range is
/// answered with 206 or 416; a request for several ranges gets the whole file, as HTTP allows. Text is taken to be
/// UTF-8. Clients may keep what they got and are told to ask each time whether it is still current (304).
///
/// Routes added to the returned router afterwards are found before the files and do not carry the header.
///
/// # Errors
///
/// [`RootError`] if `root` is not a directory that can be resolved now.
pub fn router(root: &Path, server: HeaderValue) -> Result<Router, RootError> {
    let beneath = Beneath::new(root)?;
    // The empty base makes `ServeDir` hand on paths relative to the root, which `Beneath` resolves.
    let files = ServeDir::with_backend("", beneath)
        .with_buf_chunk_size(CHUNK_BYTES_MAX)
        .ignore_multi_range_requests(true)
        .fallback(not_found.into_service());
    Ok(Router::new().fallback_service(files).layer(middleware::from_fn_with_state(server, answer)))
}

/// Why a directory cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The path does not resolve: it is absent, or may not be searched.
    #[error("cannot find the directory of pages `{}`: name an existing directory", path.display())]
    Unresolved {
        /// The path as it was given.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The path leads to something that is not a directory.
    #[error("`{}` is not a directory: name the directory that holds `index.html`", path.display())]
    NotADirectory {
        /// The path, resolved.
        path: PathBuf,
    },
}

/// The file system as seen from the root: what is outside, hidden or not a plain file is not there.
#[derive(Clone, Debug)]
struct Beneath {
    root: Arc<Path>,
}

impl Beneath {
    fn new(root: &Path) -> Result<Self, RootError> {
        let path = root
            .canonicalize()
            .map_err(|source| RootError::Unresolved { path: root.to_path_buf(), source })?;
        if path.is_dir() { Ok(Self { root: path.into() }) } else { Err(RootError::NotADirectory { path }) }
    }

    /// Where `path`, relative to the root, really is, with its metadata.
    fn resolve(&self, path: &Path) -> io::Result<(PathBuf, std::fs::Metadata)> {
        if has_dot_name(path) {
            return Err(absent());
        }
        // Whatever the reason (too long, a NUL byte, a loop of links), a name that leads nowhere is not there.
        let real = self.root.join(path).canonicalize().map_err(|_| absent())?;
        let inside = real.strip_prefix(&self.root).map_err(|_| absent())?;
        if has_dot_name(inside) {
            return Err(absent());
        }
        let metadata = real.metadata()?;
        // Opening a pipe would wait for a writer, and a device has no end.
        if metadata.is_file() || metadata.is_dir() { Ok((real, metadata)) } else { Err(absent()) }
    }

    /// [`Self::resolve`] away from the threads that serve connections, for disks may be slow.
    async fn resolve_aside(self, path: PathBuf) -> io::Result<(PathBuf, std::fs::Metadata)> {
        tokio::task::spawn_blocking(move || self.resolve(&path)).await.map_err(io::Error::other)?
    }
}

impl Backend for Beneath {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<TokioFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<std::fs::Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let beneath = self.clone();
        Box::pin(async move {
            let (real, metadata) = beneath.resolve_aside(path).await?;
            if !metadata.is_file() {
                return Err(absent());
            }
            TokioBackend.open(real).await
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let beneath = self.clone();
        Box::pin(async move { beneath.resolve_aside(path).await.map(|(_, metadata)| metadata) })
    }
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn has_dot_name(path: &Path) -> bool {
    let is_dot_name = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    path.components().any(|part| matches!(part, Component::Normal(name) if is_dot_name(name)))
}

/// Around every request: what all answers have in common.
async fn answer(State(server): State<HeaderValue>, request: Request, next: Next) -> Response {
    // A target without a path (`GET host`) names no file, and the redirect of `//dir` would be to `//dir/`, which a
    // browser takes for a host.
    let path = request.uri().path();
    let mut response = if !path.starts_with('/') || path.starts_with("//") {
        not_found().await.into_response()
    } else {
        answer_range(request, next).await
    };
    let headers = response.headers_mut();
    headers.insert(SERVED_BY, server);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    name_charset(headers);
    response
}

/// Settles `Range` and `If-Range` where `ServeDir` does not follow RFC 9110, sections 13.1.5 and 14.2.
///
/// A part is only given to `GET`, in bytes, and, with `If-Range`, of the very version that the client names by a
/// strong `ETag`; everyone else gets the whole file, which is always correct.
async fn answer_range(mut request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let headers = request.headers_mut();
    if !is_get || !headers.get(RANGE).is_some_and(|range| range.as_bytes().starts_with(b"bytes=")) {
        headers.remove(RANGE);
    }
    let Some(version) = headers.remove(IF_RANGE).filter(|_| headers.contains_key(RANGE)) else {
        return next.run(request).await;
    };
    let part = request.headers().clone();
    request.headers_mut().remove(RANGE);
    if !version.as_bytes().starts_with(b"\"") || part.contains_key(IF_MATCH) {
        return next.run(request).await;
    }
    let mut conditional = Request::new(Body::empty());
    *conditional.method_mut() = request.method().clone();
    *conditional.uri_mut() = request.uri().clone();
    *conditional.headers_mut() = part;
    conditional.headers_mut().insert(IF_MATCH, version);
    let response = next.clone().run(conditional).await;
    if response.status() == StatusCode::PRECONDITION_FAILED { next.run(request).await } else { response }
}

/// Without a charset browsers read text as Windows-1252.
fn name_charset(headers: &mut HeaderMap) {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return;
    };
    if !kind.starts_with("text/") || kind.contains("charset") {
        return;
    }
    if let Ok(kind) = HeaderValue::try_from(format!("{kind}; charset=utf-8")) {
        headers.insert(CONTENT_TYPE, kind);
    }
}

async fn not_found() -> (StatusCode, Html<&'static str>) {
    (StatusCode::NOT_FOUND, Html(NOT_FOUND_PAGE))
}

/// Whole in itself, because the root may be any directory and have no style sheet.
const NOT_FOUND_PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Not found</title>
<body style="font: 1.1rem/1.6 system-ui, sans-serif; max-width: 32rem; margin: 18vh auto; padding: 0 1.5rem">
<h1>There is no such page</h1>
<p>Nothing is served under this address. <a href="/">Start from the front page.</a></p>
</body>
</html>
"#;
