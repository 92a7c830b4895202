//! Probes: actors that stand for others and show what they are sent.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::actor::Actor;
use crate::cx::Cx;
use crate::handle::Handle;
use crate::recipient::Recipient;
use crate::reply::Reply;
use crate::sender::Sender;
use crate::system::System;
use crate::timers::until;

/// Requests that a probe keeps until they are expected: past this nobody looks, and the stand-in panics.
pub(super) const REQUESTS_MAX: usize = 65_536;

/// Requests that a panic shows.
const REQUESTS_SHOWN: usize = 8;

/// Shows what is sent to an actor that stands for another: one that takes requests `Q` and answers `R`.
///
/// It stands for a [`Recipient`] of any request, also one of a handler that `#[actor]` or `#[protocol]` wrote:
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use std::time::Duration;
/// use odeon::testing::{Probe, TestWorld};
///
/// #[derive(Debug, PartialEq)]
/// struct Charge {
///     cents: u32,
/// }
///
/// const SOON: Duration = Duration::from_secs(1);
///
/// let world = TestWorld::from_env();
/// let bank = Probe::<Charge, bool>::new(world.system());
/// let to = bank.recipient();
/// let paid = world.spawn("till", async move { to.call(Charge { cents: 5 }).await });
/// world.block_on(async {
///     let charge = bank.expect(SOON).await;
///     assert_eq!(charge.request, Charge { cents: 5 });
///     charge.answer(true);
///     assert_eq!(paid.await, Ok(true));
///     bank.expect_nothing(SOON).await;
/// });
/// ```
///
/// Or for one type of actors, or a protocol: then it shows whole messages, which have their reply ports in them.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use std::time::Duration;
/// use odeon::testing::{Probe, TestWorld};
/// use odeon::{Handle, actor};
///
/// struct Counter(i64);
///
/// #[actor]
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let world = TestWorld::from_env();
/// let probe = Probe::<CounterMessage>::new(world.system());
/// let counter: Handle<Counter> = probe.stand_in();
/// let sum = world.spawn("user", async move { counter.add(2).await });
/// world.block_on(async {
///     let CounterMessage::Add(added, reply) = probe.expect(Duration::from_secs(1)).await.request;
///     assert_eq!(added.by, 2);
///     reply.send(7);
///     assert_eq!(sum.await, Ok(7));
/// });
/// ```
///
/// Dropped, the probe lets its stand-in live, as long as the system does.
pub struct Probe<Q: Send + 'static, R: Send + 'static = ()> {
    handle: Handle<Stand<Q, R>>,
    kept: Arc<Kept<Q, R>>,
    system: System,
}

/// The actor that stands for another.
pub struct Stand<Q: Send + 'static, R: Send + 'static = ()> {
    kept: Arc<Kept<Q, R>>,
    answer: Option<Answer<Q, R>>,
}

type Answer<Q, R> = Box<dyn FnMut(&Q) -> R + Send>;

/// A request as a probe has received it.
#[derive(Debug)]
#[must_use = "dropped, its sender learns that no answer comes"]
pub struct Received<Q, R: Send + 'static = ()> {
    /// The request.
    pub request: Q,
    /// Where the answer goes; to nobody, if the request was told, or the probe has answered it already.
    pub reply: Reply<R>,
    /// Who sent it.
    pub sender: Sender,
}

impl<Q, R: Send + 'static> Received<Q, R> {
    /// Answers. If nobody waits, the answer is dropped.
    pub fn answer(self, answer: R) {
        self.reply.send(answer);
    }
}

/// What waits to be expected.
struct Kept<Q, R: Send + 'static>(Mutex<Waiting<Q, R>>);

struct Waiting<Q, R: Send + 'static> {
    requests: VecDeque<Received<Q, R>>,
    wakers: Vec<Waker>,
}

impl<Q: Send + 'static, R: Send + 'static> Probe<Q, R> {
    /// A probe whose requests wait for the test to answer them.
    #[must_use]
    pub fn new(system: &System) -> Self {
        Self::spawn(system, None)
    }

    /// A probe that answers each request at once, and shows it still.
    #[must_use]
    pub fn answering(system: &System, answer: impl FnMut(&Q) -> R + Send + 'static) -> Self {
        Self::spawn(system, Some(Box::new(answer)))
    }

    fn spawn(system: &System, answer: Option<Answer<Q, R>>) -> Self {
        let kept = Arc::new(Kept(Mutex::new(Waiting { requests: VecDeque::new(), wakers: Vec::new() })));
        let handle = system.spawn(Stand { kept: Arc::clone(&kept), answer });
        Self { handle, kept, system: system.clone() }
    }

    /// The stand-in, as whoever sends to it has it.
    #[must_use]
    pub fn recipient(&self) -> Recipient<Q, R> {
        super::said::recipient(self.handle.clone())
    }

    /// The stand-in's own handle: to stop it, to watch it.
    #[must_use]
    pub const fn handle(&self) -> &Handle<Stand<Q, R>> {
        &self.handle
    }

    /// How many requests have come and were not expected yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.kept.lock().requests.len()
    }

    /// The next request, if it is there.
    #[must_use]
    pub fn try_next(&self) -> Option<Received<Q, R>> {
        self.kept.lock().requests.pop_front()
    }

    fn take(&self, matches: &mut impl FnMut(&Q) -> bool, cx: &Context<'_>) -> Poll<Received<Q, R>> {
        let waker = cx.waker().clone();
        let mut kept = self.kept.lock();
        let at = kept.requests.iter().position(|received| matches(&received.request));
        match at.and_then(|at| kept.requests.remove(at)) {
            Some(received) => Poll::Ready(received),
            None => {
                if !kept.wakers.iter().any(|kept| kept.will_wake(&waker)) {
                    kept.wakers.push(waker);
                }
                Poll::Pending
            }
        }
    }
}

impl<Q: Send + 'static> Probe<Q> {
    /// The stand-in as an actor of type `A`, whose messages the probe shows; also as whoever speaks the protocol `A`.
    #[must_use]
    pub fn stand_in<A: Actor<Message = Q>>(&self) -> Handle<A> {
        super::stand_in::handle(self.handle.clone())
    }
}

impl<Q: fmt::Debug + Send + 'static, R: Send + 'static> Probe<Q, R> {
    /// The next request, which has to come `within` that time.
    ///
    /// # Panics
    /// When none comes.
    ///
    /// # Cancel safety
    /// No request is lost with the future.
    #[track_caller]
    pub fn expect(&self, within: Duration) -> impl Future<Output = Received<Q, R>> + Send {
        self.expect_matching(within, |_| true)
    }

    /// The first request that `matches`, which has to come `within` that time. Others stay, in their order. `matches`
    /// must not use the probe.
    ///
    /// # Panics
    /// When none comes. The panic shows those that did not match.
    ///
    /// # Cancel safety
    /// No request is lost with the future.
    #[track_caller]
    pub fn expect_matching(
        &self,
        within: Duration,
        mut matches: impl FnMut(&Q) -> bool + Send,
    ) -> impl Future<Output = Received<Q, R>> + Send {
        let place = Location::caller();
        async move {
            let clock = self.system.clock();
            let at = clock.now() + within;
            match until(&**clock, at, poll_fn(|cx| self.take(&mut matches, cx))).await {
                Some(received) => received,
                None => panic!("{place}: within {within:?} no such request came{}", self.shown()),
            }
        }
    }

    /// Ready when that time has passed without a request.
    ///
    /// # Panics
    /// When one comes, or has come before and was not expected.
    ///
    /// # Cancel safety
    /// No request is lost with the future.
    #[track_caller]
    pub fn expect_nothing(&self, during: Duration) -> impl Future<Output = ()> + Send {
        let place = Location::caller();
        async move {
            let clock = self.system.clock();
            let at = clock.now() + during;
            if let Some(Received { request, .. }) =
                until(&**clock, at, poll_fn(|cx| self.take(&mut |_| true, cx))).await
            {
                panic!("{place}: a request came that was not expected: {request:?}{}", self.shown());
            }
        }
    }

    /// What waits, for a panic.
    fn shown(&self) -> String {
        let kept = self.kept.lock();
        let shown =
            kept.requests.iter().take(REQUESTS_SHOWN).map(|received| format!("\n  {:?}", received.request));
        let shown: String = shown.collect();
        match kept.requests.len() {
            0 => String::new(),
            count => format!("; {count} wait:{shown}"),
        }
    }
}

impl<Q, R: Send + 'static> Kept<Q, R> {
    fn lock(&self) -> MutexGuard<'_, Waiting<Q, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Send + 'static, R: Send + 'static> Actor for Stand<Q, R> {
    type Message = (Q, Reply<R>);

    const HAS_START: bool = false;

    fn waits(_: &Self::Message) -> bool {
        false
    }

    fn handle_now(&mut self, (request, mut reply): Self::Message, cx: &mut Cx<Self>) {
        if let Some(answer) = &mut self.answer {
            std::mem::replace(&mut reply, Reply::nobody()).send(answer(&request));
        }
        let mut kept = self.kept.lock();
        let is_full = kept.requests.len() >= REQUESTS_MAX;
        if !is_full {
            kept.requests.push_back(Received { request, reply, sender: cx.sender() });
        }
        let wakers = std::mem::take(&mut kept.wakers);
        drop(kept);
        wakers.into_iter().for_each(Waker::wake);
        assert!(!is_full, "a probe keeps {REQUESTS_MAX} requests, and nobody has expected them");
    }

    async fn handle(&mut self, message: Self::Message, cx: &mut Cx<Self>) {
        self.handle_now(message, cx);
    }
}

impl<Q: Send + 'static, R: Send + 'static> fmt::Debug for Probe<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting();
        f.debug_struct("Probe")
            .field("handle", &self.handle)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, R: Send + 'static> fmt::Debug for Stand<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.kept.lock().requests.len();
        f.debug_struct("Stand").field("waiting", &waiting).finish_non_exhaustive()
    }
}
