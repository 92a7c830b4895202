//! Actors with a loop of their own.

use odeon::tree::Strategy;
use odeon::{Actor, ChildSpec, Cx, ExitReason, Failure, System, TickerError, actor, clauses, receive};

use crate::supervision::tree;
use crate::support::{
    Log, SECOND, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended, settle, wait_for,
};

#[tokio::test(start_paused = true)]
async fn a_receive_that_always_finds_something_lets_others_run() {
    let (system, log) = (System::new(), Log::default());
    let (looper, other) = (system.spawn(Looper::new(&log)), system.spawn(Worker::default()));
    looper.feed().tell().await.expect("taken");
    assert_eq!(at_once(other.note(1)).await, Ok(1));
    looper.stop();
    assert_eq!(ended(&looper).await, ExitReason::Stopped);
}

/// Has a loop of its own.
struct Looper {
    log: Log,
    is_failing: bool,
}

impl Looper {
    fn new(log: &Log) -> Self {
        Self { log: log.clone(), is_failing: false }
    }
}

#[actor]
impl Looper {
    #[started]
    fn begin(&mut self) {
        self.log.push("started");
    }

    #[run]
    async fn run(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        while let Some(envelope) = cx.recv().await {
            match envelope.into_message() {
                LooperMessage::Leave(LooperLeave {}, reply) => {
                    reply.send(());
                    return Ok(());
                }
                LooperMessage::Feed(..) => cx.me().feed().try_tell()?,
                message => self.handle(message, cx).await,
            }
            if self.is_failing {
                return Err(std::io::Error::other("out of luck").into());
            }
        }
        self.log.push("to end");
        Ok(())
    }

    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        self.log.push(n);
        n
    }

    #[handle]
    fn fail(&mut self) {
        self.is_failing = true;
    }

    #[handle]
    fn end(&mut self, cx: &mut Cx<Self>) {
        cx.stop();
    }

    #[handle]
    fn leave(&mut self) {}

    #[handle]
    fn feed(&mut self) {}

    #[stopped]
    fn finish(&mut self, reason: &ExitReason) {
        self.log.push(format!("finished: it {reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_actors_own_loop_is_its_life() {
    let (system, log) = (System::new(), Log::default());
    let looper = system.spawn(Looper::new(&log));
    assert_eq!(looper.note(1).await, Ok(1), "handled by the loop");
    assert_eq!(looper.ping().await, Ok(()));
    assert_eq!(looper.leave().await, Ok(()));
    assert_eq!(ended(&looper).await, ExitReason::Normal);
    assert_eq!(log.entries(), ["started", "1", "finished: it ended normally"]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_fails_ends_the_actor_as_failed() {
    let (system, log) = (System::new(), Log::default());
    let looper = system.spawn(Looper::new(&log));
    looper.fail().await.expect("answered");
    assert_eq!(ended(&looper).await, ExitReason::Failed("out of luck".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_loop_hears_of_its_end() {
    let system = System::new();
    for reason in [ExitReason::Stopped, ExitReason::Drained] {
        let log = Log::default();
        let looper = system.spawn(Looper::new(&log));
        settle().await;
        looper.note(1).tell().await.expect("taken");
        match reason {
            ExitReason::Stopped => looper.stop(),
            _ => looper.drain(),
        }
        assert_eq!(ended(&looper).await, reason);
        let finished = format!("finished: it {reason}");
        let expected: &[&str] = match reason {
            ExitReason::Stopped => &["started", "to end", &finished],
            _ => &["started", "1", "to end", &finished],
        };
        assert_eq!(log.entries(), expected);
    }
    let log = Log::default();
    let looper = system.spawn(Looper::new(&log));
    looper.end().await.expect("answered");
    assert_eq!(ended(&looper).await, ExitReason::Normal, "by the actor's own wish");
    assert_eq!(log.entries(), ["started", "to end", "finished: it ended normally"]);
}

/// Written by hand.
struct Plain(Log);

impl Actor for Plain {
    type Message = u64;

    const HAS_START: bool = false;
    const HAS_RUN: bool = true;

    async fn handle(&mut self, n: u64, _: &mut Cx<Self>) {
        self.0.push(n);
    }

    async fn run(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        while let Some(envelope) = cx.recv().await {
            self.handle(envelope.into_message() + 1, cx).await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_can_be_written_by_hand() {
    let log = Log::default();
    let plain = System::new().spawn(Plain(log.clone()));
    plain.send_envelope(odeon::Draft::new(1)).await.expect("taken");
    wait_for("the number", || log.entries() == ["2"]).await;
}

/// Wants nothing that comes.
struct Picky;

impl Actor for Picky {
    type Message = u64;

    const HAS_RUN: bool = true;

    async fn handle(&mut self, _: u64, _: &mut Cx<Self>) {}

    async fn run(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        assert!(cx.recv_match(|_| false).await.is_none());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_drains_leaves_what_it_did_not_want_as_dead_letters() {
    let system = System::new();
    let picky = system.spawn(Picky);
    picky.send_envelope(odeon::Draft::new(1)).await.expect("taken");
    settle().await;
    picky.drain();
    assert_eq!(ended(&picky).await, ExitReason::Drained);
    assert_eq!(system.dead_letters(), 1);
}

/// Asks after a request with a deadline, and after none came.
struct Patient {
    back: WorkerHandle,
    log: Log,
}

#[actor]
impl Patient {
    #[run]
    async fn run(&mut self, cx: &mut Cx<Self>) {
        loop {
            let lives = receive!(cx, {
                use clauses::handlers(self),
                timeout 60 * SECOND => {
                    let answer = self.back.note(7).await;
                    self.log.push(format!("{answer:?}"));
                    cx.stop();
                }
            });
            if lives.is_none() {
                return;
            }
        }
    }

    #[handle]
    fn work(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_loop_does_not_inherit_the_time_of_what_it_has_handled() {
    let (system, log) = (System::new(), Log::default());
    let patient = system.spawn(Patient { back: system.spawn(Worker::default()), log: log.clone() });
    patient.work().within(SECOND).await.expect("answered");
    assert_eq!(ended(&patient).await, ExitReason::Normal);
    assert_eq!(log.entries(), ["Ok(7)"]);
}

/// Beats each second, in a loop of its own, until it falls.
struct Heart {
    log: Log,
    began: tokio::time::Instant,
}

#[actor]
impl Heart {
    #[started]
    fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), TickerError> {
        cx.ticker(SECOND, |_| HeartBeat {})?;
        Ok(())
    }

    #[run]
    async fn run(&mut self, cx: &mut Cx<Self>) {
        while receive!(cx, { HeartMessage::Note(..) if false => {}, use clauses::handlers(self) }).is_some() {
        }
    }

    #[handle]
    fn beat(&mut self) {
        self.log.push(self.began.elapsed().as_millis());
    }

    #[handle]
    async fn fall(&mut self, cx: &mut Cx<Self>) {
        let fallen =
            cx.recv_match(|message| matches!(message, HeartMessage::Note(HeartNote { n: 2 }, _))).await;
        assert!(fallen.is_none(), "as told");
    }

    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        n
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_started_again_has_the_messages_passed_over_and_timers_of_its_own_only() {
    let (system, log, began) = (System::new(), Log::default(), tokio::time::Instant::now());
    let mut tree = tree(&system, Strategy::OneForOne);
    let heart = {
        let log = log.clone();
        tree.child(ChildSpec::new(move || Heart { log: log.clone(), began })).expect("there is room")
    };
    let _supervisor = tree.start();
    tokio::time::sleep(SECOND + SECOND / 2).await;
    heart.fall().tell().await.expect("taken");
    settle().await;
    let passed_over = beside({
        let heart = heart.clone();
        async move { heart.note(1).await }
    });
    settle().await;
    heart.note(2).tell().await.expect("taken");
    assert_eq!(passed_over.result().await, Ok(1));
    assert_eq!(heart.incarnation(), 2);
    tokio::time::sleep(2 * SECOND + SECOND / 4).await;
    settle().await;
    assert_eq!(log.entries(), ["1000", "2500", "3500"]);
}
