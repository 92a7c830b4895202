//! A peer made by hand, that says whatever a test wants.

use std::fmt::Debug;
use std::io;

use odeon_auth::{Cookie, Side, prove, transcript};
use odeon_core::{ActorId, Address, Encoding, Epoch, ServerId};
use odeon_wire::{Body, Frame, Hello, LINK_WINDOW_BYTES, MAGIC, VERSION_MAX, VERSION_MIN, Windows};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{id, soon};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// A connection with a mind of its own.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: Box<dyn Stream>,
    /// What lies over the lengths of the frames that come, and of those that go: the first bytes of the proofs.
    pub(crate) masks: [u32; 2],
}

/// What was said before a connection ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) frames: Vec<Vec<u8>>,
}

impl End {
    /// The text of the last frame.
    pub(crate) fn last_words(&self) -> String {
        match self.frames.last().map(|bytes| Frame::decode(bytes).expect("a frame")) {
            Some(Frame::Refuse { code, detail }) => format!("{code}: {detail}"),
            Some(Frame::Bye { reason }) => format!("bye: {reason}"),
            other => format!("{other:?}"),
        }
    }
}

impl Raw {
    pub(crate) async fn connect(address: &Address) -> Self {
        let stream: Box<dyn Stream> = match address {
            Address::Unix { path, .. } => Box::new(UnixStream::connect(path).await.expect("connected")),
            Address::Tcp(at) => Box::new(TcpStream::connect(at).await.expect("connected")),
            Address::Tls(_) => panic!("no such transport"),
        };
        Self::over(stream)
    }

    /// Before anybody has said anything.
    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, masks: [0; 2] }
    }

    /// Connects and proves to be the member `server`.
    pub(crate) async fn member(address: &Address, server: &str, cookie: &Cookie) -> Self {
        let mut raw = Self::connect(address).await;
        raw.prove(&hello(server), cookie).await;
        match Frame::decode(&raw.frame().await.expect("an answer")).expect("a frame") {
            Frame::Proof { .. } => {}
            other => panic!("not taken in: {other:?}"),
        }
        let accept = raw.frame().await.expect("an answer");
        assert_eq!(Frame::decode(&accept), Ok(Frame::Accept));
        raw
    }

    /// Says hello and proves it, without waiting for the verdict.
    pub(crate) async fn prove(&mut self, hello: &Hello, cookie: &Cookie) {
        let ours = encoded(&Frame::Hello(hello.clone()));
        self.send_bytes(&framed(&ours)).await.expect("sent");
        let theirs = self.frame().await.expect("a hello");
        let proof = prove(cookie, Side::Dialler, &transcript(&ours, &theirs));
        self.send(&Frame::Proof { mac: proof.0 }).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon("the bytes leave", self.stream.write_all(bytes)).await
    }

    pub(crate) async fn send(&mut self, frame: &Frame<'_>) {
        self.send_bytes(&self.masked(&encoded(frame))).await.expect("sent");
        self.masks[1] = mask_after(frame).unwrap_or(self.masks[1]);
    }

    /// With a length before it, as it stands between these two.
    pub(crate) fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        [&self.prefix(bytes.len()), bytes].concat()
    }

    /// The length before a frame of so many bytes.
    pub(crate) fn prefix(&self, bytes: usize) -> [u8; 4] {
        (u32::try_from(bytes).expect("small") ^ self.masks[1]).to_be_bytes()
    }

    /// The next frame that is no credit, without its prefix; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let bytes = self.any_frame().await?;
            if !matches!(Frame::decode(&bytes), Ok(Frame::Credit { .. } | Frame::LinkCredit { .. })) {
                return Some(bytes);
            }
        }
    }

    async fn any_frame(&mut self) -> Option<Vec<u8>> {
        soon("a frame or the end", async {
            let length = self.stream.read_u32().await.ok()? ^ self.masks[0];
            let mut bytes = vec![0; usize::try_from(length).expect("small")];
            self.stream.read_exact(&mut bytes).await.ok()?;
            let mask = Frame::decode(&bytes).ok().and_then(|frame| mask_after(&frame));
            self.masks[0] = mask.unwrap_or(self.masks[0]);
            Some(bytes)
        })
        .await
    }

    /// Reads to the end.
    pub(crate) async fn end(mut self) -> End {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        End { frames }
    }

    /// Whether the server answers.
    pub(crate) async fn assert_open(&mut self, n: u64) {
        self.send(&Frame::Ping { n }).await;
        loop {
            let bytes = self.frame().await.expect("the link is open");
            match Frame::decode(&bytes).expect("a frame") {
                Frame::Pong { n: answered } if answered == n => return,
                Frame::Ping { .. } | Frame::Pong { .. } => {}
                other => panic!("a pong was expected: {other:?}"),
            }
        }
    }
}

/// An honest hello to `b@/`.
pub(crate) fn hello(server: &str) -> Hello {
    Hello {
        magic: MAGIC.to_owned(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        server: id(server),
        epoch: Epoch(0),
        wanted: Some(id("b@/")),
        features: Vec::new(),
        nonce: [3; 32],
        frame_bytes_max: 16 * 1024 * 1024,
        windows: Some(Windows {
            link_bytes: LINK_WINDOW_BYTES,
            flow_messages: 1_000_000,
            flow_bytes: LINK_WINDOW_BYTES,
        }),
    }
}

/// An honest hello of `server`, to whoever connected.
pub(crate) fn hello_back(server: ServerId) -> Hello {
    Hello { server, wanted: None, ..hello("nobody@/") }
}

pub(crate) fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// The mask of what its sender says after this frame, if it is a proof.
fn mask_after(frame: &Frame<'_>) -> Option<u32> {
    match frame {
        Frame::Proof { mac } => mac.first_chunk().copied().map(u32::from_be_bytes),
        _ => None,
    }
}

/// With a length before it, as it stands before a proof.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(bytes.len()).expect("small").to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

/// The `seq`th message of a flow, as the wire has it.
pub(crate) fn body<'b>(flow: u32, seq: u64, type_id: u32, encoding: Encoding, payload: &'b [u8]) -> Body<'b> {
    Body {
        flow,
        seq,
        from: 0,
        type_id,
        encoding,
        expires_in_ms: None,
        payload,
        nonce: None,
        in_reply_to: None,
    }
}

/// The id of the `n`th ask, at a place of its own.
pub(crate) const fn ask_id(n: u64) -> u64 {
    (n << 16) | (n - 1)
}

/// Opens a flow to an actor.
pub(crate) async fn open(raw: &mut Raw, flow: u32, to: &str) {
    let to: ActorId = to.parse().expect("an actor");
    raw.send(&Frame::Open { flow, to }).await;
}

/// Gives a message type its number.
pub(crate) async fn define(raw: &mut Raw, type_id: u32, mark: &str) {
    raw.send(&Frame::Define { type_id, mark: mark.parse().expect("a mark"), fingerprint: None }).await;
}
