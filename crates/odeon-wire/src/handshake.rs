//! From the first byte to acceptance.
//!
//! ```text
//!  dialler                                   listener
//!  AwaitHello ──── Hello ──────────────────▶ AwaitHello
//!             ◀─── Hello ───────────────────
//!  NeedProof                                 AwaitProof
//!             ──── Proof ──────────────────▶
//!  AwaitProof                                Verifying, NeedProof
//!             ◀─── Proof, Accept ───────────
//!  Verifying, AwaitAccept                    Done
//!  Done
//! ```
//!
//! The listener proves nothing before the dialler has, so a stranger learns no more than a hello. In the steps
//! `NeedProof` and `Verifying` it is the driver's turn, and nothing from the peer is looked at.

use std::collections::VecDeque;

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_core::{Epoch, ServerId};

use crate::config::{Config, link_bytes_min};
use crate::event::{Event, Side, Transcript};
use crate::frame::{Frame, Hello, RefuseCode, Windows};
use crate::framing::Mask;
use crate::limits::{FEATURES, MAGIC, VERSION_MAX, VERSION_MIN};
use crate::outbox::{Outbox, Room};

/// Where the handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    AwaitHello,
    NeedProof,
    AwaitProof,
    Verifying,
    AwaitAccept,
    Done,
}

/// What is agreed with the peer.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) server: ServerId,
    pub(crate) epoch: Epoch,
    pub(crate) version: u16,
    pub(crate) features: Vec<String>,
    pub(crate) frame_bytes_max: usize,
    pub(crate) windows: Windows,
}

/// Why the peer is refused.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) code: RefuseCode,
    pub(crate) detail: String,
}

impl Rejection {
    pub(crate) fn new(code: RefuseCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { code, detail }
    }
}

/// Where the outputs of a step go.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) events: &'a mut VecDeque<Event>,
}

impl Outputs<'_> {
    fn send(&mut self, frame: &Frame<'_>) {
        // As control, so that no later control frame comes before it.
        let room = Room { frame_bytes_max: HANDSHAKE_FRAME_BYTES_MAX, bytes_max: usize::MAX };
        self.outbox
            .push_control(frame, room)
            .expect("names, features and texts are limited, so that every handshake frame fits");
    }
}

/// One side of a handshake.
#[derive(Debug)]
pub(crate) struct Handshake {
    side: Side,
    step: Step,
    hello: Hello,
    transcript: Transcript,
    /// Over all that comes after the peer's proof.
    mask_in: Mask,
    peer: Option<Peer>,
}

impl Handshake {
    /// Begins; the dialler speaks at once.
    pub(crate) fn begin(
        config: &Config,
        side: Side,
        wanted: Option<ServerId>,
        nonce: [u8; 32],
        mut outputs: Outputs<'_>,
    ) -> Self {
        let hello = Hello {
            magic: MAGIC.to_owned(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            server: config.server.clone(),
            epoch: config.epoch,
            wanted,
            features: FEATURES.map(str::to_owned).into(),
            nonce,
            frame_bytes_max: u32::try_from(config.frame_bytes_max).unwrap_or(u32::MAX),
            windows: Some(config.windows),
        };
        if side == Side::Dialler {
            outputs.send(&Frame::Hello(hello.clone()));
        }
        Self {
            side,
            step: Step::AwaitHello,
            hello,
            transcript: Transcript::default(),
            mask_in: Mask::default(),
            peer: None,
        }
    }

    /// Whether nothing goes on until the driver has answered.
    pub(crate) fn is_drivers_turn(&self) -> bool {
        matches!(self.step, Step::NeedProof | Step::Verifying)
    }

    /// What lies over the next frame's prefix.
    pub(crate) const fn mask_in(&self) -> Mask {
        self.mask_in
    }

    /// The peer, once both sides have proven themselves.
    pub(crate) fn accepted(&mut self) -> Option<Peer> {
        self.peer.take_if(|_| self.step == Step::Done)
    }

    /// Takes a frame, whose bytes were `bytes`.
    pub(crate) fn handle(
        &mut self,
        frame: Frame<'_>,
        bytes: &[u8],
        outputs: Outputs<'_>,
    ) -> Result<(), Rejection> {
        match (self.step, frame) {
            (Step::AwaitHello, Frame::Hello(hello)) => self.take_hello(hello, bytes, outputs),
            (Step::AwaitProof, Frame::Proof { mac }) => {
                self.step = Step::Verifying;
                self.mask_in = Mask::of(&mac);
                outputs.events.push_back(Event::Verify {
                    side: self.side.peer(),
                    transcript: self.transcript.clone(),
                    mac,
                });
                Ok(())
            }
            (Step::AwaitAccept, Frame::Accept) => {
                self.step = Step::Done;
                Ok(())
            }
            (_, frame) => Err(Rejection::new(
                RefuseCode::Protocol,
                format!("a {} came out of turn in the handshake", frame.name()),
            )),
        }
    }

    fn take_hello(&mut self, hello: Hello, bytes: &[u8], mut outputs: Outputs<'_>) -> Result<(), Rejection> {
        let peer = self.check(hello)?;
        outputs.events.push_back(Event::PeerHello { server: peer.server.clone(), epoch: peer.epoch });
        self.peer = Some(peer);
        let own = Frame::Hello(self.hello.clone());
        let mut own_bytes = Vec::new();
        own.encode(&mut own_bytes);
        match self.side {
            Side::Dialler => {
                self.transcript = Transcript { dialler_hello: own_bytes, listener_hello: bytes.to_vec() };
                self.need_proof(outputs);
            }
            Side::Listener => {
                self.transcript = Transcript { dialler_hello: bytes.to_vec(), listener_hello: own_bytes };
                outputs.send(&own);
                self.step = Step::AwaitProof;
            }
        }
        Ok(())
    }

    /// Whether the peer is one to go on with, as far as it can be told before its proof.
    fn check(&self, hello: Hello) -> Result<Peer, Rejection> {
        let refuse = |code, detail: String| Err(Rejection::new(code, detail));
        if hello.magic != MAGIC {
            return refuse(RefuseCode::Protocol, format!("a hello begins with `{MAGIC}`, this one does not"));
        }
        let version = hello.version_max.min(VERSION_MAX);
        if version < hello.version_min.max(VERSION_MIN) {
            return refuse(
                RefuseCode::Version,
                format!(
                    "{} speaks versions {VERSION_MIN} to {VERSION_MAX} of the protocol, {} speaks {} to {}: upgrade the older one",
                    self.hello.server, hello.server, hello.version_min, hello.version_max
                ),
            );
        }
        let frame_bytes_max = usize::try_from(hello.frame_bytes_max).unwrap_or(usize::MAX);
        if frame_bytes_max < HANDSHAKE_FRAME_BYTES_MAX {
            return refuse(
                RefuseCode::Protocol,
                format!("a hello has a frame limit of at least {HANDSHAKE_FRAME_BYTES_MAX} bytes"),
            );
        }
        let enough = link_bytes_min(frame_bytes_max);
        let Some(windows) = hello.windows.filter(|w| w.link_bytes >= enough && w.flow_messages > 0) else {
            let detail = format!(
                "a hello gives credit for one message, and {enough} bytes: one frame of its largest size"
            );
            return refuse(RefuseCode::Protocol, detail);
        };
        if hello.server == self.hello.server {
            return refuse(
                RefuseCode::SelfConnect,
                format!("{} reached itself, or a second server of its name", hello.server),
            );
        }
        let (wanted, reached) = match self.side {
            Side::Dialler => (&self.hello.wanted, &hello.server),
            Side::Listener => (&hello.wanted, &self.hello.server),
        };
        if let Some(wanted) = wanted
            && wanted != reached
        {
            return refuse(RefuseCode::WrongServer, format!("this address is {reached}, and not {wanted}"));
        }
        Ok(Peer {
            version,
            features: FEATURES
                .into_iter()
                .filter(|ours| hello.features.iter().any(|theirs| theirs == ours))
                .map(str::to_owned)
                .collect(),
            server: hello.server,
            epoch: hello.epoch,
            frame_bytes_max,
            windows,
        })
    }

    fn need_proof(&mut self, outputs: Outputs<'_>) {
        self.step = Step::NeedProof;
        outputs.events.push_back(Event::NeedProof { side: self.side, transcript: self.transcript.clone() });
    }

    /// Takes this side's proof, if it is wanted now.
    pub(crate) fn provide_proof(&mut self, mac: [u8; 32], mut outputs: Outputs<'_>) {
        if self.step != Step::NeedProof {
            return;
        }
        outputs.send(&Frame::Proof { mac });
        outputs.outbox.put_on(Mask::of(&mac));
        self.step = match self.side {
            Side::Dialler => Step::AwaitProof,
            Side::Listener => {
                outputs.send(&Frame::Accept);
                Step::Done
            }
        };
    }

    /// Takes the driver's word on the peer's proof, if it is wanted now.
    pub(crate) fn verified(&mut self, is_right: bool, outputs: Outputs<'_>) -> Result<(), Rejection> {
        if self.step != Step::Verifying {
            return Ok(());
        }
        if !is_right {
            return Err(Rejection::new(
                RefuseCode::Authentication,
                "the proof is wrong: the two servers hold different ensemble cookies",
            ));
        }
        match self.side {
            Side::Dialler => self.step = Step::AwaitAccept,
            Side::Listener => self.need_proof(outputs),
        }
        Ok(())
    }
}
