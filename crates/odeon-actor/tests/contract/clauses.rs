//! Receives written as clauses: `receive!` and `clauses!`.

use odeon::{AskError, Cx, ExitReason, Handle, System, actor, clauses, receive};

use crate::support::{Gate, Log, SECOND, at_once, beside, ended, settle};

/// Receives by clauses.
struct Chooser {
    log: Log,
    open: bool,
}

clauses! {
    /// What every chooser knows.
    fn common(cx: &mut Cx<Chooser>, log: &Log) -> u64 {
        ChooserMessage::Note(ChooserNote { n: n @ 50..60 }, reply) => {
            log.push(format!("common {n}, wanted: {}", cx.wants_reply()));
            reply.send(n);
            n
        }
        ChooserMessage::Note(ChooserNote { n }, _) if *n == 60 => n,
    }
}

impl clauses::HasPing for ChooserMessage {
    fn is_ping(&self) -> bool {
        matches!(self, Self::Alive(..))
    }

    fn into_ping(self) -> Option<odeon::Reply<()>> {
        match self {
            Self::Alive(ChooserAlive {}, reply) => Some(reply),
            _ => None,
        }
    }
}

impl clauses::HasShutdown for ChooserMessage {
    fn is_shutdown(&self) -> bool {
        matches!(self, Self::Finish(..))
    }

    fn into_shutdown(self) -> Option<odeon::Reply<()>> {
        match self {
            Self::Finish(ChooserFinish {}, reply) => Some(reply),
            _ => None,
        }
    }
}

#[actor]
impl Chooser {
    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        n
    }

    #[handle]
    fn alive(&mut self) {}

    #[handle]
    fn finish(&mut self) {}

    #[handle]
    async fn choose(&mut self, cx: &mut Cx<Self>) -> Option<u64> {
        receive!(cx, |envelope| {
            ChooserMessage::Note(ChooserNote { n }, reply) if *n > 10 && self.open && *n < 50 => {
                self.log.push("open");
                reply.send(n + 1);
                n
            }
            ChooserMessage::Note(ChooserNote { n }, _) if envelope.in_reply_to() == Some(*n) => n,
            use common(&self.log),
            timeout SECOND => 0,
        })
    }

    #[handle]
    async fn choose_now(&mut self, gate: Gate, cx: &mut Cx<Self>) -> u64 {
        gate.pass().await;
        receive!(cx, {
            ChooserMessage::Note(ChooserNote { n: 1 }, _) => 1,
            else => 99,
        })
    }

    #[handle]
    async fn choose_raw(&mut self, gate: Gate, cx: &mut Cx<Self>) -> u64 {
        gate.pass().await;
        receive!(raw cx, { ChooserMessage::Note(ChooserNote { n }, _) => n, else => 99 })
    }

    #[handle]
    async fn keep_house(&mut self, cx: &mut Cx<Self>) {
        loop {
            let served = receive!(cx, {
                use clauses::ping(),
                use clauses::shutdown(),
                use clauses::unexpected(),
            });
            if served.is_none() {
                break;
            }
        }
    }
}

fn chooser(open: bool) -> (Handle<Chooser>, Log) {
    let log = Log::default();
    (System::new().spawn(Chooser { log: log.clone(), open }), log)
}

#[tokio::test(start_paused = true)]
async fn patterns_and_guards_choose_and_bodies_have_the_message() {
    let (chooser, log) = chooser(true);
    let choosing = |n: u64, in_reply_to: Option<u64>| {
        let chooser = chooser.clone();
        async move {
            let choosing = beside({
                let chooser = chooser.clone();
                async move { chooser.choose().await }
            });
            settle().await;
            let call = chooser.note(n);
            let call = match in_reply_to {
                Some(nonce) => call.in_reply_to(nonce),
                None => call,
            };
            let answer = call.within(2 * SECOND).await;
            (choosing.result().await, answer)
        }
    };
    assert_eq!(choosing(20, None).await, (Ok(Some(20)), Ok(21)));
    assert_eq!(choosing(5, Some(5)).await, (Ok(Some(5)), Err(AskError::NoReply)), "by the envelope");
    assert_eq!(choosing(55, None).await, (Ok(Some(55)), Ok(55)), "by the clause of all");
    assert_eq!(choosing(60, None).await, (Ok(Some(60)), Err(AskError::NoReply)), "by its second");
    assert_eq!(choosing(5, None).await, (Ok(Some(0)), Ok(5)), "nobody wants it, and it is handled later");
    assert_eq!(log.entries(), ["open", "common 55, wanted: true"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_sees_the_actor() {
    let (chooser, _) = chooser(false);
    let choosing = beside({
        let chooser = chooser.clone();
        async move { chooser.choose().await }
    });
    settle().await;
    chooser.note(20).tell().await.expect("taken");
    assert_eq!(choosing.result().await, Ok(Some(0)));
}

#[tokio::test(start_paused = true)]
async fn else_runs_at_once_when_nothing_that_waits_is_wanted() {
    let (chooser, _) = chooser(false);
    for (waiting, expected) in [(None, 99), (Some(2), 99), (Some(1), 1)] {
        let gate = Gate::new();
        let choosing = beside({
            let (chooser, gate) = (chooser.clone(), gate.clone());
            async move { chooser.choose_now(gate).await }
        });
        gate.wait_entered().await;
        if let Some(n) = waiting {
            chooser.note(n).tell().await.expect("taken");
        }
        gate.open();
        assert_eq!(at_once(choosing.result()).await, Ok(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_receive_takes_what_has_expired() {
    let (chooser, _) = chooser(false);
    let gate = Gate::new();
    let choosing = beside({
        let (chooser, gate) = (chooser.clone(), gate.clone());
        async move { chooser.choose_raw(gate).await }
    });
    gate.wait_entered().await;
    chooser.note(3).within(SECOND).tell().await.expect("taken");
    tokio::time::sleep(2 * SECOND).await;
    gate.open();
    assert_eq!(choosing.result().await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn clauses_for_any_actor_keep_house() {
    let (chooser, _) = chooser(false);
    chooser.keep_house().tell().await.expect("taken");
    assert_eq!(chooser.alive().await, Ok(()));
    assert_eq!(at_once(chooser.note(1)).await, Err(AskError::NoReply), "unexpected");
    assert_eq!(chooser.alive().await, Ok(()));
    assert_eq!(chooser.finish().await, Ok(()));
    assert_eq!(ended(&chooser).await, ExitReason::Normal);
}
