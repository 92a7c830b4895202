//! Frames: what travels on a link.
//!
//! On the wire a frame is its length (4 bytes, big-endian, of what follows, under a mask once its sender has proven
//! itself), then one CBOR array: the number of
//! the frame, then its fields in the order of their numbers. Absent options at the end are left out, unknown
//! fields at the end are skipped. Numbers are frozen: a number that fell out of use is never given away again.
//!
//! | # | frame | fields | sent |
//! | --- | --- | --- | --- |
//! | 0 | `Hello` | `[magic, version_min, version_max, server, epoch, wanted, features, nonce, frame_bytes_max, windows]` | first, by both |
//! | 1 | `Proof` | mac | after the hellos |
//! | 2 | `Accept` | – | by the listener, after its proof |
//! | 3 | `Refuse` | code, detail | instead of anything; ends the link |
//! | 4 | `Define` | type id, mark, fingerprint or null | before a type's first use |
//! | 5 | `Tell` | `[flow, seq, from, type_id, encoding, expires_in_ms, payload, nonce, in_reply_to]` | |
//! | 6 | `Ask` | ask id, as `Tell` | |
//! | 7 | `Reply` | ask id, encoding, payload | to an ask |
//! | 8 | `Refused` | ask id or null, refusal | to an ask, or for a tell |
//! | 9 | `Dead` | ask id, exit reason | to an ask |
//! | 10 | `NoReply` | ask id | to an ask, or to a cancel |
//! | 11 | `Cancel` | ask id | by an asker that gave up |
//! | 12 | `Monitor` | monitor id, actor | |
//! | 13 | `Demonitor` | monitor id | |
//! | 14 | `Down` | monitor id, exit reason, number or null | to a monitor |
//! | 15 | `Ping` | n | after silence |
//! | 16 | `Pong` | n | to a ping |
//! | 17 | `Bye` | reason | ends the link |
//! | 18 | `Open` | flow, actor | before a flow's first message |
//! | 19 | `Close` | flow | by its sender, after the last message |
//! | 20 | `Closed` | flow | by its receiver: the number is free |
//! | 21 | `Credit` | flow, taken, messages, bytes | by a flow's receiver |
//! | 22 | `LinkCredit` | bytes | by a receiver, for all flows |
//! | 23 | `Chunk` | left, part | instead of a frame above 64 KiB |
//! | 24 | `Agree` | type id | to a definition; feature `compact` |
//! | 25 | `Rest` | – | by a side that has nothing more to do |
//! | 26 | `Stay` | – | to a `Rest`, by a side that has |
//!
//! The golden bytes of each stand in `tests/golden.rs`.

use std::fmt;

use minicbor::{Decode, Decoder, Encode};
use odeon_core::limits::PAYLOAD_DEPTH_MAX;
use odeon_core::{ActorId, CodecError, Encoding, Epoch, ExitReason, Mark, Refusal, ServerId, check_nesting};

use crate::limits::{FEATURE_BYTES_MAX, FEATURES_MAX};

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame cannot be read: {0}")]
pub struct FrameError(String);

impl FrameError {
    fn of_nesting(error: &CodecError) -> Self {
        Self(match error {
            CodecError::TooDeep => format!("it nests deeper than {PAYLOAD_DEPTH_MAX} levels"),
            CodecError::Decode(why) | CodecError::Encode(why) => why.clone(),
            other => other.to_string(),
        })
    }
}

/// What a side says of itself, first of all. Until a version is agreed nothing else is known of the peer, so
/// these fields keep their numbers and meaning in every version.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`MAGIC`](crate::MAGIC).
    #[n(0)]
    pub magic: String,
    /// Oldest protocol version it speaks.
    #[n(1)]
    pub version_min: u16,
    /// Newest protocol version it speaks.
    #[n(2)]
    pub version_max: u16,
    /// Who it is.
    #[n(3)]
    pub server: ServerId,
    /// Which incarnation.
    #[n(4)]
    pub epoch: Epoch,
    /// Whom the dialler expects to reach; the listener leaves it out.
    #[n(5)]
    pub wanted: Option<ServerId>,
    /// What it can do beyond the version; unknown ones are ignored.
    #[cbor(n(6), decode_with = "decode_features")]
    pub features: Vec<String>,
    /// Fresh random bytes, so that a proof is good for one link.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub nonce: [u8; 32],
    /// Largest frame it takes, in bytes without the prefix.
    #[n(8)]
    pub frame_bytes_max: u32,
    /// The credit its peer begins with; since version 2.
    #[n(9)]
    pub windows: Option<Windows>,
}

/// No more than the limit, each no longer than the limit: a list of empty names takes many times its bytes in memory.
fn decode_features<Ctx>(
    decoder: &mut Decoder<'_>,
    _: &mut Ctx,
) -> Result<Vec<String>, minicbor::decode::Error> {
    let mut features = Vec::new();
    for feature in decoder.array_iter::<&str>()? {
        let feature = feature?;
        if features.len() == FEATURES_MAX || feature.len() > FEATURE_BYTES_MAX {
            return Err(minicbor::decode::Error::message(format!(
                "a hello has at most {FEATURES_MAX} features of {FEATURE_BYTES_MAX} bytes"
            )));
        }
        features.push(feature.to_owned());
    }
    Ok(features)
}

/// How much may be on its way to a side, or waiting in it, before it has taken anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Windows {
    /// Bytes, over all flows.
    #[n(0)]
    pub link_bytes: u64,
    /// Messages in each flow.
    #[n(1)]
    pub flow_messages: u64,
    /// Bytes in each flow. A flow in which nothing is under way may carry one message that costs more.
    #[n(2)]
    pub flow_bytes: u64,
}

/// Why a side does not want the link. Numbers and texts are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum RefuseCode {
    /// There is no protocol version that both speak.
    #[n(0)]
    Version,
    /// The dialler wanted another server.
    #[n(1)]
    WrongServer,
    /// The proof is wrong.
    #[n(2)]
    Authentication,
    /// A later incarnation of the peer is known.
    #[n(3)]
    StaleEpoch,
    /// The server reached itself.
    #[n(4)]
    SelfConnect,
    /// Too many links, or shutting down: later may do.
    #[n(5)]
    Busy,
    /// The peer broke the protocol, or was too slow.
    #[n(6)]
    Protocol,
}

impl RefuseCode {
    /// The code as it is printed and matched by scripts, such as `wrong-server`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::WrongServer => "wrong-server",
            Self::Authentication => "authentication",
            Self::StaleEpoch => "stale-epoch",
            Self::SelfConnect => "self-connect",
            Self::Busy => "busy",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for RefuseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The common part of a tell and an ask.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Body<'b> {
    /// The flow, opened before: it names the receiving actor.
    #[n(0)]
    pub flow: u32,
    /// The message's number in its flow, from 1.
    #[n(1)]
    pub seq: u64,
    /// The number of the sending actor at its server.
    #[n(2)]
    pub from: u64,
    /// The number of the message type, defined before.
    #[n(3)]
    pub type_id: u32,
    /// How the payload is encoded.
    #[n(4)]
    pub encoding: Encoding,
    /// Time left, in milliseconds, until the message is no longer worth running.
    #[n(5)]
    pub expires_in_ms: Option<u64>,
    /// The encoded message.
    #[cbor(b(6), with = "minicbor::bytes")]
    pub payload: &'b [u8],
    /// The sending actor's number for the message; left out for 0.
    #[n(7)]
    pub nonce: Option<u64>,
    /// The number of the message that this one answers, as the receiving actor sent it.
    #[n(8)]
    pub in_reply_to: Option<u64>,
}

/// One frame; the module's table says what each is for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
#[expect(missing_docs, reason = "the table of the protocol page has them all")]
pub enum Frame<'b> {
    #[n(0)]
    Hello(#[n(0)] Hello),
    #[n(1)]
    Proof {
        #[cbor(n(0), with = "minicbor::bytes")]
        mac: [u8; 32],
    },
    #[n(2)]
    Accept,
    #[n(3)]
    Refuse {
        #[n(0)]
        code: RefuseCode,
        #[n(1)]
        detail: String,
    },
    #[n(4)]
    Define {
        #[n(0)]
        type_id: u32,
        #[n(1)]
        mark: Mark,
        #[n(2)]
        fingerprint: Option<u64>,
    },
    #[n(5)]
    Tell(#[b(0)] Body<'b>),
    #[n(6)]
    Ask {
        #[n(0)]
        ask_id: u64,
        #[b(1)]
        body: Body<'b>,
    },
    #[n(7)]
    Reply {
        #[n(0)]
        ask_id: u64,
        #[n(1)]
        encoding: Encoding,
        #[cbor(b(2), with = "minicbor::bytes")]
        payload: &'b [u8],
    },
    #[n(8)]
    Refused {
        #[n(0)]
        ask_id: Option<u64>,
        #[n(1)]
        refusal: Refusal,
    },
    #[n(9)]
    Dead {
        #[n(0)]
        ask_id: u64,
        #[n(1)]
        reason: ExitReason,
    },
    #[n(10)]
    NoReply {
        #[n(0)]
        ask_id: u64,
    },
    #[n(11)]
    Cancel {
        #[n(0)]
        ask_id: u64,
    },
    #[n(12)]
    Monitor {
        #[n(0)]
        monitor_id: u64,
        #[n(1)]
        actor: ActorId,
    },
    #[n(13)]
    Demonitor {
        #[n(0)]
        monitor_id: u64,
    },
    #[n(14)]
    Down {
        #[n(0)]
        monitor_id: u64,
        #[n(1)]
        reason: ExitReason,
        #[n(2)]
        number: Option<u64>,
    },
    #[n(15)]
    Ping {
        #[n(0)]
        n: u64,
    },
    #[n(16)]
    Pong {
        #[n(0)]
        n: u64,
    },
    #[n(17)]
    Bye {
        #[n(0)]
        reason: String,
    },
    #[n(18)]
    Open {
        #[n(0)]
        flow: u32,
        #[n(1)]
        to: ActorId,
    },
    #[n(19)]
    Close {
        #[n(0)]
        flow: u32,
    },
    #[n(20)]
    Closed {
        #[n(0)]
        flow: u32,
    },
    #[n(21)]
    Credit {
        #[n(0)]
        flow: u32,
        #[n(1)]
        taken: u64,
        #[n(2)]
        messages: u64,
        #[n(3)]
        bytes: u64,
    },
    #[n(22)]
    LinkCredit {
        #[n(0)]
        bytes: u64,
    },
    #[n(23)]
    Chunk {
        #[n(0)]
        left: u64,
        #[cbor(b(1), with = "minicbor::bytes")]
        part: &'b [u8],
    },
    #[n(24)]
    Agree {
        #[n(0)]
        type_id: u32,
    },
    #[n(25)]
    Rest,
    #[n(26)]
    Stay,
}

impl<'b> Frame<'b> {
    /// Reads the frame that takes up all of `bytes`, its length prefix excluded. Allocates no more than the
    /// texts in it, whatever lengths the bytes claim.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, FrameError> {
        // Fields that are unknown here are skipped, and skipping is what takes memory for their nesting.
        check_nesting(bytes).map_err(|error| FrameError::of_nesting(&error))?;
        let mut decoder = Decoder::new(bytes);
        let frame = decoder.decode().map_err(|error| FrameError(error.to_string()))?;
        if decoder.position() == bytes.len() {
            Ok(frame)
        } else {
            Err(FrameError("bytes follow it".to_owned()))
        }
    }

    /// Appends the frame to `out`, without a length prefix.
    pub fn encode(&self, out: &mut Vec<u8>) {
        minicbor::encode(self, out).expect("a vector takes all bytes, and every field has an encoding");
    }

    /// The name of the frame that `bytes` begin, if it belongs to the handshake alone; told from its number,
    /// nothing else of it is read.
    pub(crate) fn of_handshake(bytes: &[u8]) -> Option<&'static str> {
        match Self::number(bytes)? {
            0 => Some("Hello"),
            1 => Some("Proof"),
            2 => Some("Accept"),
            _ => None,
        }
    }

    /// The number of the frame that `bytes` begin.
    fn number(bytes: &[u8]) -> Option<u64> {
        let mut decoder = Decoder::new(bytes);
        decoder.array().ok()?;
        decoder.u64().ok()
    }

    /// The name, for the text of an error.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Proof { .. } => "Proof",
            Self::Accept => "Accept",
            Self::Refuse { .. } => "Refuse",
            Self::Define { .. } => "Define",
            Self::Tell(_) => "Tell",
            Self::Ask { .. } => "Ask",
            Self::Reply { .. } => "Reply",
            Self::Refused { .. } => "Refused",
            Self::Dead { .. } => "Dead",
            Self::NoReply { .. } => "NoReply",
            Self::Cancel { .. } => "Cancel",
            Self::Monitor { .. } => "Monitor",
            Self::Demonitor { .. } => "Demonitor",
            Self::Down { .. } => "Down",
            Self::Ping { .. } => "Ping",
            Self::Pong { .. } => "Pong",
            Self::Bye { .. } => "Bye",
            Self::Open { .. } => "Open",
            Self::Close { .. } => "Close",
            Self::Closed { .. } => "Closed",
            Self::Credit { .. } => "Credit",
            Self::LinkCredit { .. } => "LinkCredit",
            Self::Chunk { .. } => "Chunk",
            Self::Agree { .. } => "Agree",
            Self::Rest => "Rest",
            Self::Stay => "Stay",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a field that is unknown here, in which so many lists are opened, and closed again.
    fn with_unknown(levels: usize, (open, close): (u8, &[u8])) -> Vec<u8> {
        let mut bytes = vec![0x83, 10, 7];
        bytes.extend(vec![open; levels]);
        bytes.push(0);
        bytes.extend(close.repeat(levels));
        bytes
    }

    #[test]
    fn an_unknown_field_may_nest_to_the_limit_and_no_deeper() {
        for kind in [(0x81, &[][..]), (0x9f, &[0xff])] {
            let fits = with_unknown(PAYLOAD_DEPTH_MAX - 1, kind);
            assert_eq!(Frame::decode(&fits), Ok(Frame::NoReply { ask_id: 7 }));
            for levels in [PAYLOAD_DEPTH_MAX, 100_000] {
                let error = Frame::decode(&with_unknown(levels, kind)).expect_err("too deep");
                assert!(error.to_string().contains("nests deeper than 128 levels"), "{error}");
            }
        }
        // Skipped from the middle of a list of known length, each of these would take 16 bytes of memory.
        let mut bytes = vec![0x83, 10, 7, 0x82];
        bytes.extend([0x9f; 100_000]);
        assert!(Frame::decode(&bytes).expect_err("too deep").to_string().contains("nests deeper"));
    }
}
