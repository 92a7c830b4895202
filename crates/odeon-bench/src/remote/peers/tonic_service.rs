//! The far side of the two tonic peers: one service with a unary call and a call with a stream each way, written by
//! hand, so that no `protoc` is needed. Messages are bare bytes, which costs less than any encoding of them.

use std::{
    convert::Infallible,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, http},
    server::{Grpc, StreamingService, UnaryService},
    transport::Server,
};

use crate::{
    error::JobError,
    host,
    remote::{
        far,
        question::{TELL_BYTES, Task},
    },
};

/// The path of the unary call.
pub(crate) const ASK: &str = "/bench.Counter/Ask";
/// The path of the call with streams.
pub(crate) const STREAM: &str = "/bench.Counter/Stream";

/// A failure of the library.
pub(crate) fn library(error: impl std::fmt::Display) -> JobError {
    JobError::Library(error.to_string())
}

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A number as a message.
pub(crate) fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_le_bytes())
}

/// The number in a message.
pub(crate) fn value(mut bytes: Bytes) -> Result<u64, Status> {
    bytes.try_get_u64_le().map_err(|_| Status::invalid_argument("eight bytes are a number"))
}

#[derive(Clone, Copy, Debug)]
struct Counter;

type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Answers a value with itself.
impl UnaryService<Bytes> for Counter {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(async { Ok(Response::new(number(value(request.into_inner())?))) })
    }
}

/// Counts tells, and answers a value with itself and their number.
impl StreamingService<Bytes> for Counter {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let mut told = 0;
        let answers = request.into_inner().filter_map(move |message| {
            let answer = message.and_then(|bytes| {
                if bytes.len() == TELL_BYTES {
                    told += 1;
                    return Ok(None);
                }
                Ok(Some(number(value(bytes)? + told)))
            });
            answer.transpose()
        });
        Box::pin(async { Ok(Response::new(Box::pin(answers) as Answers)) })
    }
}

impl Service<http::Request<Body>> for Counter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec);
            Ok(match request.uri().path() {
                ASK => grpc.unary(Self, request).await,
                STREAM => grpc.streaming(Self, request).await,
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}

/// Serves until the near side is done.
pub(crate) fn far(task: &Task, _: &Path) -> Result<(), JobError> {
    host::tokio(task.runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(JobError::Link)?;
        let address = listener.local_addr().map_err(JobError::Link)?;
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(Server::builder().serve_with_incoming(Counter, incoming));
        far::announce(&[address.to_string()])?;
        tokio::task::spawn_blocking(far::wait_for_the_end).await.map_err(JobError::Producer)
    })?
}
