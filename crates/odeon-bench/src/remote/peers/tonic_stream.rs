//! `tonic-stream`: gRPC as fast as it gets: one call with a stream each way for everything. Answers come in the order
//! of their questions, which a service of independent requests would not promise.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    error::{Gone, JobError},
    peers::Kind,
    remote::{
        drive::Near,
        far::Far,
        peers::{
            Row, Sides, does_basics_over_tcp, near, nothing,
            tonic::endpoint,
            tonic_service::{BytesCodec, STREAM, far, library, number, value},
        },
        question::{TELL_BYTES, Task},
    },
    workload::MAILBOX_MAX,
};

/// The peer's row.
pub(crate) const ROW: Row = Row {
    name: "tonic-stream",
    kind: Kind::Actors,
    share: 1,
    does: does_basics_over_tcp,
    missing: || None,
    sides: Sides::Ours { prepare: nothing, far, near: near::<TonicStream> },
};

/// What goes into the stream: bytes, and who waits for their answer.
type Outgoing = (Bytes, Option<oneshot::Sender<u64>>);

/// The connection, and the stream once the first message has opened it.
pub(crate) struct TonicStream(Arc<Open>);

/// The way to the stream.
pub(crate) struct Open {
    channel: Channel,
    stream: OnceCell<mpsc::Sender<Outgoing>>,
}

impl Open {
    async fn send(&self, outgoing: Outgoing) -> Result<(), JobError> {
        let stream = self.stream.get_or_try_init(|| open(self.channel.clone())).await?;
        stream.send(outgoing).await.map_err(|_| Gone.into())
    }
}

async fn open(channel: Channel) -> Result<mpsc::Sender<Outgoing>, JobError> {
    let waiting = Arc::new(Mutex::new(VecDeque::new()));
    let (sender, receiver) = mpsc::channel::<Outgoing>(MAILBOX_MAX);
    let asked = Arc::clone(&waiting);
    let requests = ReceiverStream::new(receiver).map(move |(bytes, port)| {
        if let Some(port) = port {
            asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(port);
        }
        bytes
    });
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(library)?;
    let path = PathAndQuery::from_static(STREAM);
    let answers = grpc.streaming(Request::new(requests), path, BytesCodec).await.map_err(library)?;
    let mut answers = answers.into_inner();
    tokio::spawn(async move {
        // Whoever waits when the stream ends is told so by its port, which is dropped.
        while let Ok(Some(bytes)) = answers.message().await {
            let port: Option<oneshot::Sender<u64>> =
                waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let (Some(port), Ok(value)) = (port, value(bytes)) {
                let _ = port.send(value);
            }
        }
    });
    Ok(sender)
}

impl Near for TonicStream {
    type Counter = Arc<Open>;

    async fn open(_task: &Task, far: &Far) -> Result<Self, JobError> {
        Ok(Self(Arc::new(Open { channel: endpoint(far)?.connect_lazy(), stream: OnceCell::new() })))
    }

    async fn counter(&self, _link: usize, _actor: usize) -> Result<Arc<Open>, JobError> {
        Ok(Arc::clone(&self.0))
    }

    async fn ask(counter: &Arc<Open>, asked: u64) -> Result<u64, JobError> {
        let (port, answer) = oneshot::channel();
        counter.send((number(asked), Some(port))).await?;
        answer.await.map_err(|_| Gone.into())
    }

    async fn size(_counter: &Arc<Open>, _bytes: Vec<u8>) -> Result<u64, JobError> {
        Err(JobError::Unfit { workload: "message sizes" })
    }

    async fn tell(counter: &Arc<Open>, bytes: [u8; TELL_BYTES]) -> Result<(), JobError> {
        counter.send((Bytes::copy_from_slice(&bytes), None)).await
    }

    async fn close(self) {}
}
