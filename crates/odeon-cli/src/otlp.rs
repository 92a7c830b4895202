//! Spans for an OpenTelemetry collector, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one.
//!
//! They are sent as protobuf over plain HTTP by a thread of their own, in batches. A collector stands on the same host
//! or in the same network: TLS is its business further on, and an `https:` endpoint is refused. What it does not take
//! within its time is dropped; nobody waits for it but the end of the process, briefly.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// Names the collector.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Names what the spans are from; the program, if it is not set.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// How long a collector may take to connect, to take a batch, and to answer it.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is read; a collector's has a few bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The way to a collector; what waits is sent when it is dropped.
#[derive(Debug)]
pub(crate) struct Collector(SdkTracerProvider);

impl Collector {
    /// The collector of the environment, if it names one.
    ///
    /// # Errors
    /// A sentence, when the endpoint cannot be used.
    pub(crate) fn of_environment(program: &str) -> Result<Option<Self>, String> {
        let Ok(endpoint) = std::env::var(ENDPOINT) else { return Ok(None) };
        let name = std::env::var(SERVICE_NAME).unwrap_or_else(|_| program.to_owned());
        Self::at(&endpoint, name).map(Some)
    }

    fn at(endpoint: &str, name: String) -> Result<Self, String> {
        let refused = |why: &str| format!("{ENDPOINT}: `{endpoint}` cannot be used: {why}");
        if !endpoint.starts_with("http://") {
            return Err(refused("expected http://HOST:PORT"));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(PlainHttp)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| refused(&error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(name).build())
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of spans.
    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, Tracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("odeon"))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(COLLECTOR_TIMEOUT) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// A client that sends one request per connection and waits for its answer, on the exporter's own thread.
#[derive(Debug)]
struct PlainHttp;

impl HttpClient for PlainHttp {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(std::future::ready(send(&request)))
    }
}

fn send(request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let authority = uri.authority().ok_or("the endpoint names no host")?;
    let place = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let address = place.to_socket_addrs()?.next().ok_or("the collector's host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, COLLECTOR_TIMEOUT)?;
    stream.set_read_timeout(Some(COLLECTOR_TIMEOUT))?;
    stream.set_write_timeout(Some(COLLECTOR_TIMEOUT))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head =
        format!("{} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n", request.method());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str()?));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body().len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    // `HTTP/1.1 200 OK`; what else it says is of no use here.
    let status = answer.split(|byte| *byte == b' ').nth(1).ok_or("the collector's answer is not HTTP")?;
    Ok(Response::builder().status(status).body(Bytes::new())?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use odeon_auth::Cookie;
    use odeon_server::{Server, ServerConfig, World};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Takes one request, and says what it was.
    fn collector() -> (String, std::thread::JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let taken = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut bytes, mut more) = (Vec::new(), [0; 4096]);
            loop {
                let n = stream.read(&mut more).expect("readable");
                bytes.extend_from_slice(&more[..n]);
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
                if bytes.len() == end + 4 + length {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
                    return (head, bytes.split_off(end + 4));
                }
            }
        });
        (endpoint, taken)
    }

    fn contains(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn a_link_arrives_at_the_collector_as_a_span() {
        let (endpoint, taken) = collector();
        let collector = Collector::at(&endpoint, "site".to_owned()).expect("an endpoint");
        let subscriber = tracing_subscriber::registry().with(collector.layer());
        tracing::subscriber::with_default(subscriber, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let config = |id: &str| {
                    let id = id.parse().expect("an id");
                    ServerConfig::new(id, Cookie::from_bytes([7; 32]), World::real("here".into()))
                };
                let listen = "tcp:127.0.0.1:0".parse().expect("an address");
                let b = Server::start(config("b@/").listen(listen)).await.expect("starts");
                let a = Server::start(config("a@/")).await.expect("starts");
                a.connect(b.id(), b.addresses()).await.expect("connected");
                a.shutdown(Duration::ZERO).await;
                b.shutdown(Duration::ZERO).await;
            });
        });
        drop(collector);
        let (head, body) = taken.join().expect("no panic");
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        for expected in ["site", "link", "b@/", "outgoing", "opened", "closed"] {
            assert!(contains(&body, expected), "no `{expected}` in {}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn an_endpoint_that_cannot_be_used_is_refused_in_words() {
        for wrong in ["https://collector:4318", "collector:4318", ""] {
            let error = Collector::at(wrong, "site".to_owned()).expect_err("refused");
            assert!(error.contains(ENDPOINT) && error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_collector_that_is_not_there_keeps_nobody() {
        let nobody = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound");
        let collector = Collector::at(&format!("http://{nobody}"), "site".to_owned()).expect("an endpoint");
        let subscriber = tracing_subscriber::registry().with(collector.layer());
        tracing::subscriber::with_default(subscriber, || drop(tracing::info_span!("lost").entered()));
        drop(collector);
    }
}
