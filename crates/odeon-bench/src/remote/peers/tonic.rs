//! `tonic`: gRPC with one unary call for each ask, over one connection. There is no call without an answer, so tells
//! are left to `tonic-stream`.

use tonic::{
    Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use crate::{
    error::JobError,
    peers::Kind,
    remote::{
        drive::Near,
        far::Far,
        peers::{
            Row, Sides, does_basics_over_tcp, near, nothing,
            tonic_service::{ASK, BytesCodec, far, library, number, value},
        },
        question::{Point, Question, TELL_BYTES, Task},
    },
};

/// The peer's row.
pub(crate) const ROW: Row = Row {
    name: "tonic",
    kind: Kind::Actors,
    share: 8,
    does,
    missing: || None,
    sides: Sides::Ours { prepare: nothing, far, near: near::<Tonic> },
};

fn does(point: Point) -> bool {
    does_basics_over_tcp(point) && point.question != Question::Tell
}

/// The connection, made at the first call.
pub(crate) struct Tonic(Channel);

/// Where the far process listens.
pub(crate) fn endpoint(far: &Far) -> Result<Endpoint, JobError> {
    Ok(Endpoint::from_shared(format!("http://{}", far.addresses()[0])).map_err(library)?.tcp_nodelay(true))
}

impl Near for Tonic {
    type Counter = Channel;

    async fn open(_task: &Task, far: &Far) -> Result<Self, JobError> {
        Ok(Self(endpoint(far)?.connect_lazy()))
    }

    async fn counter(&self, _link: usize, _actor: usize) -> Result<Channel, JobError> {
        Ok(self.0.clone())
    }

    async fn ask(counter: &Channel, asked: u64) -> Result<u64, JobError> {
        let mut grpc = Grpc::new(counter.clone());
        grpc.ready().await.map_err(library)?;
        let path = PathAndQuery::from_static(ASK);
        let answer = grpc.unary(Request::new(number(asked)), path, BytesCodec).await.map_err(library)?;
        value(answer.into_inner()).map_err(library)
    }

    async fn size(_counter: &Channel, _bytes: Vec<u8>) -> Result<u64, JobError> {
        Err(JobError::Unfit { workload: "message sizes" })
    }

    async fn tell(_counter: &Channel, _bytes: [u8; TELL_BYTES]) -> Result<(), JobError> {
        Err(JobError::Unfit { workload: "tells" })
    }

    async fn close(self) {}
}
