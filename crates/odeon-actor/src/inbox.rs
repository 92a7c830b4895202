//! Actors with their type erased: what a server needs to route messages by name and number.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;

use odeon_core::seam::BoxFuture;
use odeon_core::{
    Encoding, ExitReason, Fingerprint, Instant, Method, Protocol, Refusal, RefusalCode, decode,
};
use odeon_mailbox::{Entry, Overflow, SendError, Standing, Ticket, TrySendError};
use serde::Deserializer as _;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::actor::Actor;
use crate::envelope::{Envelope, Meta};
use crate::error::AskError;
use crate::explain::{self, Explanation};
use crate::life::{Down, MonitorId, TooManyMonitors};
use crate::links::{LetGo, LinkEnd, Linked, TooManyLinks};
use crate::local::{Control, Local};
use crate::overflow;
use crate::reply::{FarPort, Reply};
use crate::sender::Sender;
use crate::stats::{self, Stats};

/// Most bytes of an unknown field that are quoted, and compared with the known ones.
const FIELD_BYTES_MAX: usize = 100;

/// An encoded payload, not yet trusted.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// How it is encoded.
    pub encoding: Encoding,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Payload<'_> {
    /// The value.
    ///
    /// # Errors
    /// [`RefusalCode::BadPayload`], saying what does not fit.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        decode(self.encoding, self.bytes).map_err(|e| Refusal::new(RefusalCode::BadPayload, e.to_string()))
    }
}

/// Where answers for another server go; the server's link implements it.
pub trait ReplySink: Send + Sync + 'static {
    /// The answer to `ask`, given at most once: the encoded reply, or why there is none.
    fn answer(&self, ask: u64, answer: Result<Vec<u8>, AskError>);

    /// Whether `ask` still waits.
    fn is_wanted(&self, ask: u64) -> bool;
}

/// The reply port of a message from another server, before its type is known. Dropped, it says nothing, and its
/// asker waits for the deadline; only [`typed`](Self::typed) makes it a port that tells.
#[must_use = "without `typed` nobody answers the asker"]
pub struct RemoteReply(Option<Arc<FarPort>>);

impl RemoteReply {
    /// The port, its type known.
    #[must_use]
    pub fn typed<R: Serialize + Send + 'static>(self) -> Reply<R> {
        self.0.map_or_else(Reply::nobody, Reply::there)
    }
}

impl fmt::Debug for RemoteReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReply").field("ask", &self.0.as_ref().map(|ask| ask.ask)).finish()
    }
}

/// One message from another server.
pub struct Delivery<'a> {
    /// The method: a full mark or a bare name.
    pub mark: &'a str,
    /// The method's place in the actor's protocol, if whoever delivers has looked for it before. A hint: another method
    /// than the mark's is not called by it.
    pub method: Option<usize>,
    /// The arguments.
    pub payload: Payload<'a>,
    /// The sender's fingerprint of the method, if it has said so: a compact payload needs the method's own.
    pub fingerprint: Option<Fingerprint>,
    /// Who sent it, as the link proved it.
    pub sender: Sender,
    /// When it stops being worth anything.
    pub expires_at: Option<Instant>,
    /// The sender's number for it.
    pub nonce: u64,
    /// The number of the actor's message that it answers, if the sender said so.
    pub in_reply_to: Option<u64>,
    /// Where the answer goes, if one is wanted, and its number there.
    pub reply: Option<(Arc<dyn ReplySink>, u64)>,
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("mark", &self.mark)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

/// An actor of this process, its type erased.
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Its number in its system.
    fn number(&self) -> u64;
    /// Its Rust type, for people.
    fn kind(&self) -> &'static str;
    /// How many messages wait in its mailbox.
    fn depth(&self) -> usize;
    /// By what other servers may reach it.
    fn protocol(&self) -> Option<&'static Protocol>;
    /// Checks, decodes and puts one message into the mailbox, without waiting. The answer comes through the
    /// delivery's reply port or as the refusal, never both.
    ///
    /// # Errors
    /// A refusal: no such message, not authorised, a payload that does not fit, a full mailbox. A dead
    /// actor is no refusal: the reply port says so.
    fn deliver(&self, delivery: Delivery<'_>) -> Result<(), Refusal>;
    /// As [`deliver`](Self::deliver), but where the mailbox is full and has its senders wait, the message stands in
    /// line for it, by the ticket returned; `waker` is the one to wake when its fate is decided.
    ///
    /// # Errors
    /// As of [`deliver`](Self::deliver); full means that the mailbox does not have its senders wait, or that too
    /// many do.
    fn deliver_or_wait(&self, delivery: Delivery<'_>, waker: &Waker) -> Result<Option<Ticket>, Refusal>;
    /// Whether a message still stands in line; if so, `waker` is the one to wake from now on. Once it does not, it
    /// was let in, or its asker has been told that the actor is dead.
    fn stands(&self, ticket: Ticket, waker: &Waker) -> bool;
    /// Takes a message out of the line.
    fn leave(&self, ticket: Ticket);
    /// Ready when the actor has answered a ping through its control lane.
    fn ping(&self) -> BoxFuture<'static, Result<(), AskError>>;
    /// Asks the actor to stop.
    fn stop(&self);
    /// Ends the actor where it stands.
    fn kill(&self);
    /// Calls `notify` once when the actor has ended.
    ///
    /// # Errors
    /// When the actor has too many monitors.
    fn monitor(&self, notify: Box<dyn FnOnce(Down) + Send>) -> Result<MonitorId, TooManyMonitors>;
    /// Forgets a monitor.
    fn demonitor(&self, monitor: MonitorId);
    /// Makes a place for a link to `other`, and numbers it; none if there is such a link.
    ///
    /// # Errors
    /// When the actor has too many links.
    #[doc(hidden)]
    fn begin_link(&self, other: &Linked) -> Result<Option<u64>, TooManyLinks>;
    /// Keeps how the link's monitor is let go.
    #[doc(hidden)]
    fn keep_link(&self, other: &Linked, number: u64, let_go: LetGo);
    /// Takes a link back; whether there was one.
    #[doc(hidden)]
    fn end_link(&self, other: &Linked) -> bool;
    /// The linked actor has ended.
    #[doc(hidden)]
    fn link_ended(&self, other: Linked, number: u64, down: Down);
    /// Whether a supervisor keeps it: to end, start and restart it is up to that one.
    fn is_supervised(&self) -> bool;
    /// What it has done so far.
    fn stats(&self) -> Stats;
    /// What it is doing, who waits for it, and for whom it waits. `None` while it is made.
    fn explain(&self) -> Option<Explanation>;
    /// Why it ended, if it has.
    fn exit_reason(&self) -> Option<ExitReason>;
    /// The actor's block, to be taken for what it is.
    #[doc(hidden)]
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    /// Whether it has ended or is ending, for good.
    fn is_over(&self) -> bool {
        self.exit_reason().is_some()
    }
    /// Whether a handler waits for something, as far as that can be seen; not while the actor runs.
    #[cfg(feature = "testing")]
    fn is_handling(&self) -> bool {
        false
    }
}

impl<A: Actor> Inbox for Local<A> {
    fn number(&self) -> u64 {
        self.life.number
    }

    fn kind(&self) -> &'static str {
        self.life.kind()
    }

    fn depth(&self) -> usize {
        self.mailbox.len()
    }

    fn protocol(&self) -> Option<&'static Protocol> {
        A::protocol()
    }

    fn deliver(&self, delivery: Delivery<'_>) -> Result<(), Refusal> {
        self.take_in(delivery, None).map(drop)
    }

    fn deliver_or_wait(&self, delivery: Delivery<'_>, waker: &Waker) -> Result<Option<Ticket>, Refusal> {
        self.take_in(delivery, Some(waker))
    }

    fn stands(&self, ticket: Ticket, waker: &Waker) -> bool {
        match self.mailbox.stand(ticket, waker) {
            Standing::Waiting => true,
            Standing::Admitted => false,
            Standing::Closed(envelope) => {
                // Its port says that the actor is dead, when it falls.
                self.undelivered(envelope.sender());
                false
            }
        }
    }

    fn leave(&self, ticket: Ticket) {
        self.mailbox.leave(ticket);
    }

    fn ping(&self) -> BoxFuture<'static, Result<(), AskError>> {
        let Some(me) = self.me() else {
            return Box::pin(std::future::ready(Err(AskError::Dead(ExitReason::NoActor))));
        };
        let waiting = me.ping();
        Box::pin(async move {
            let gone = |_| AskError::Dead(me.life.reason().unwrap_or(ExitReason::Normal));
            waiting.map_err(AskError::Refused)?.await.map_err(gone)
        })
    }

    fn stop(&self) {
        self.me().iter().for_each(Self::stop);
    }

    fn kill(&self) {
        self.me().iter().for_each(Self::kill);
    }

    fn monitor(&self, notify: Box<dyn FnOnce(Down) + Send>) -> Result<MonitorId, TooManyMonitors> {
        self.life.monitor(notify)
    }

    fn demonitor(&self, monitor: MonitorId) {
        self.life.demonitor(monitor);
    }

    fn begin_link(&self, other: &Linked) -> Result<Option<u64>, TooManyLinks> {
        self.life.links(|links| links.begin(other))
    }

    fn keep_link(&self, other: &Linked, number: u64, let_go: LetGo) {
        let unused = match self.life.exit_reason() {
            None => self.life.links(|links| links.keep(other, number, let_go)),
            // It would be kept for ever.
            Some(_) => {
                self.life.links(|links| links.take(other, number));
                Some(let_go)
            }
        };
        if let Some(let_go) = unused {
            let_go();
        }
    }

    fn end_link(&self, other: &Linked) -> bool {
        let (was_there, let_go) = self.life.links(|links| links.remove(other));
        if let Some(let_go) = let_go {
            let_go();
        }
        was_there
    }

    fn link_ended(&self, other: Linked, number: u64, down: Down) {
        if let Some(me) = self.me() {
            me.control(Control::Linked(Box::new(LinkEnd { other, number, down })));
        }
    }

    fn is_supervised(&self) -> bool {
        self.life.keeper().is_some()
    }

    fn stats(&self) -> Stats {
        stats::of(self)
    }

    fn explain(&self) -> Option<Explanation> {
        self.me().map(|me| explain::of(&me))
    }

    fn exit_reason(&self) -> Option<ExitReason> {
        self.life.exit_reason()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn is_over(&self) -> bool {
        self.life.is_ending()
    }

    #[cfg(feature = "testing")]
    fn is_handling(&self) -> bool {
        self.cell.is_busy()
    }
}

/// The method that a mark names, and its place: as the hint says, if it is right.
fn method_of(
    protocol: &'static Protocol,
    mark: &str,
    hint: Option<usize>,
) -> Result<(usize, &'static Method), Refusal> {
    if let Some(index) = hint
        && let Some(method) = protocol.methods.get(index)
        && method.mark == mark
    {
        return Ok((index, method));
    }
    let method = protocol.method(mark)?;
    let index = protocol.methods.iter().position(|other| std::ptr::eq(other, method)).unwrap_or_default();
    Ok((index, method))
}

/// Compact bytes of another shape may well be a value, and a wrong one.
fn refuse_another_shape(method: &Method, sent: Option<Fingerprint>) -> Result<(), Refusal> {
    let own = (method.fingerprint)();
    if own.is_some() && own == sent {
        return Ok(());
    }
    let shown = |fingerprint: Option<Fingerprint>| {
        fingerprint.map_or_else(|| "none".to_owned(), |fingerprint| fingerprint.to_string())
    };
    let (mark, own, sent) = (method.mark, shown(own), shown(sent));
    let detail =
        format!("{mark}: a compact payload of another shape: its fingerprint is {sent}, here it is {own}");
    Err(Refusal::new(RefusalCode::BadPayload, detail))
}

impl<A: Actor> Local<A> {
    /// Checks, decodes and puts one message into the mailbox, or in line for it if there is somebody to wake.
    fn take_in(&self, delivery: Delivery<'_>, waker: Option<&Waker>) -> Result<Option<Ticket>, Refusal> {
        let Delivery { mark, method, payload, fingerprint, sender, expires_at, nonce, in_reply_to, reply } =
            delivery;
        let protocol = A::protocol().ok_or_else(|| {
            Refusal::new(RefusalCode::UnknownMark, "this actor cannot be reached from other servers")
        })?;
        let (index, method) = method_of(protocol, mark, method)?;
        let sender = sender.of_message(self.life.number, method.mark);
        if let Some(needs) = method.needs {
            sender.require(needs)?;
        }
        match payload.encoding {
            Encoding::Json => refuse_unknown_fields(method, payload.bytes)?,
            Encoding::Compact => refuse_another_shape(method, fingerprint)?,
            _ => {}
        }
        let port = reply.map(|(sink, ask)| {
            let (encoding, target) = (payload.encoding, Arc::clone(&self.life));
            Arc::new(FarPort { sink, ask, encoding, target, is_answered: AtomicBool::new(false) })
        });
        let message = A::decode(index, payload, RemoteReply(port.clone()))
            .map_err(|refusal| at(method.mark, refusal))?;
        let meta = Meta::sent_afar(sender, expires_at, port.is_some(), nonce, in_reply_to);
        let line = waker.filter(|_| self.mailbox.overflow() == Overflow::Wait);
        let sent = match (self.mailbox.try_send(Envelope { message, meta }), line) {
            (Err(TrySendError::Full(envelope)), Some(waker)) => match self.mailbox.enter(envelope, waker) {
                Ok(Entry::Queued) => Ok(()),
                Ok(Entry::Waits(ticket)) => return Ok(Some(ticket)),
                Err(SendError::Closed(envelope)) => Err(TrySendError::Closed(envelope)),
                Err(SendError::Crowded(envelope)) => Err(TrySendError::Full(envelope)),
            },
            (Err(TrySendError::Full(envelope)), None) => overflow::squeeze_in_whole(self, envelope),
            (sent, _) => sent,
        };
        match sent {
            Ok(()) => {
                self.me().iter().for_each(Self::notify_message);
                Ok(None)
            }
            Err(TrySendError::Full(envelope)) => {
                // The refusal is the answer; the port in the envelope would give another.
                port.iter().for_each(|port| port.close());
                drop(envelope);
                let capacity = self.mailbox.capacity();
                let detail = format!("the actor's mailbox is full ({capacity} messages); try again later");
                Err(Refusal::new(RefusalCode::Full, detail))
            }
            Err(TrySendError::Closed(envelope)) => {
                // Said here, because a draining actor has no exit reason yet that a falling port could tell.
                port.iter().for_each(|port| port.answer(Err(AskError::Dead(self.death()))));
                self.undelivered(envelope.sender());
                Ok(None)
            }
        }
    }
}

fn at(mark: &str, refusal: Refusal) -> Refusal {
    Refusal { code: refusal.code, detail: format!("{mark}: {}", refusal.detail) }
}

/// JSON comes from people, who mistype; CBOR comes from servers, which may be newer than this one.
fn refuse_unknown_fields(method: &Method, bytes: &[u8]) -> Result<(), Refusal> {
    let schema = (method.arguments)().to_value();
    let known: Vec<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    let Some(unknown) = unknown_field(bytes, &known) else {
        return Ok(());
    };
    let hint = match odeon_core::suggest(&unknown, known.iter().copied()) {
        Some(near) => near.to_string(),
        None if known.is_empty() => "it takes no arguments".to_owned(),
        None => format!("it takes {}", known.join(", ")),
    };
    let detail = format!("{}: unknown argument `{unknown}`; {hint}", method.mark);
    Err(Refusal::new(RefusalCode::BadPayload, detail))
}

/// The first key of the object that is none of the known ones, cut. Of the rest nothing is kept: the payload may be as
/// large as a frame, and take many times as much as a value. What is no object is for the decoding to refuse.
fn unknown_field(bytes: &[u8], known: &[&str]) -> Option<String> {
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // An error is that of the payload, or the end of the search.
    let _ = json.deserialize_map(Fields { known, unknown: &mut unknown });
    unknown
}

/// Reads the keys of an object until one is unknown.
struct Fields<'a> {
    known: &'a [&'a str],
    unknown: &'a mut Option<String>,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if !self.known.contains(&key.as_ref()) {
                *self.unknown = Some(key[..key.floor_char_boundary(FIELD_BYTES_MAX)].to_owned());
                return Err(M::Error::custom("an unknown field"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_json_payload_only_the_keys_are_read_and_only_to_the_first_unknown_one() {
        let find = |text: &str| unknown_field(text.as_bytes(), &["a", "b"]);
        for fits in [
            "{}",
            r#"{"a":1,"b":{"c":[1]}}"#,
            r#"{"a":1,"a":2}"#,
            "[1]",
            "7",
            "",
            "{\"a\":",
            r#"{"\u0061":0}"#,
        ] {
            assert_eq!(find(fits), None, "{fits}");
        }
        for unknown in [r#"{"c":1}"#, r#"{"a":[{"x":2}],"c":1,"d":2}"#, r#"{"c":1,"a":"#, r#"{"c" broken"#] {
            assert_eq!(find(unknown).as_deref(), Some("c"), "{unknown}");
        }
        // A value would not be taken apart to such a depth; the keys after it are still seen.
        let deep = format!(r#"{{"a":{}{},"c":0}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(&deep).as_deref(), Some("c"));
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        assert_eq!(find(&format!(r#"{{"{long}":0}}"#)).as_deref(), Some(&long[1..]), "cut");
    }
}
