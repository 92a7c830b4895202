//! Order, at most once, and bounded mailboxes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use odeon::{AskError, SpawnOptions, System, TellError, TryTellError, actor};
use odeon_core::RefusalCode;
use odeon_mailbox::{CAPACITY_DEFAULT, WAITERS_MAX};

use crate::support::{Gate, Log, Worker, WorkerCalls, beside, ended, settle, wait_for};

fn with_capacity(system: &System, capacity: usize, log: &Log) -> odeon::Handle<Worker> {
    system
        .spawn_with(SpawnOptions::default().capacity(capacity), Worker::logging(log))
        .expect("no name is taken")
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_sender_arrive_in_order() {
    const EACH: u64 = 500;
    let log = Log::default();
    let worker = with_capacity(&System::new(), 3, &log);
    let mut senders = Vec::new();
    for sender in 0..4 {
        let worker = worker.clone();
        senders.push(beside(async move {
            for n in 0..EACH {
                let call = worker.note(sender * EACH + n);
                // All three ways to send are one order.
                match n % 3 {
                    0 => drop(call.await.expect("answered")),
                    1 => call.tell().await.expect("taken"),
                    _ => match call.try_tell() {
                        Ok(()) => {}
                        Err(TryTellError::Full(request)) => {
                            worker.call(request).tell().await.expect("taken");
                        }
                        Err(other) => panic!("{other}"),
                    },
                }
            }
        }));
    }
    for sender in senders {
        sender.result().await;
    }
    worker.drain();
    ended(&worker).await;
    let noted: Vec<u64> = log.entries().iter().filter_map(|entry| entry.parse().ok()).collect();
    for sender in 0..4 {
        let of_sender = noted.iter().copied().filter(|n| n / EACH == sender);
        assert!(of_sender.eq(sender * EACH..(sender + 1) * EACH), "sender {sender}: each once, in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tell_dropped_while_it_waits_is_not_run() {
    let (log, gate) = (Log::default(), Gate::new());
    let worker = with_capacity(&System::new(), 1, &log);
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).tell().await.expect("the one place");
    let mut dropped = Box::pin(worker.note(2).tell());
    let mut waits = Box::pin(worker.note(3).tell());
    let task = &mut Context::from_waker(Waker::noop());
    assert!(dropped.as_mut().poll(task).is_pending());
    assert!(waits.as_mut().poll(task).is_pending());
    drop(dropped);
    gate.open();
    waits.await.expect("taken");
    assert_eq!(worker.note(4).await, Ok(4));
    assert_eq!(log.entries(), ["held handler gone", "1", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_holds_1024_messages_and_the_next_comes_back() {
    assert_eq!(CAPACITY_DEFAULT, 1_024);
    let (log, gate) = (Log::default(), Gate::new());
    let worker = System::new().spawn(Worker::logging(&log));
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    for n in 0..1_024 {
        worker.note(n).try_tell().expect("there is room");
    }
    assert_eq!(worker.depth(), 1_024);
    let Err(TryTellError::Full(request)) = worker.note(1_024).try_tell() else {
        panic!("one past the capacity is refused");
    };
    assert_eq!(request.n, 1_024, "the request comes back whole");
    gate.open();
    assert_eq!(worker.call(request).await, Ok(1_024));
    assert_eq!(log.entries().len(), 1_026);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_for_none_holds_one() {
    let (log, gate) = (Log::default(), Gate::new());
    let worker = with_capacity(&System::new(), 0, &log);
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).try_tell().expect("one fits");
    assert!(matches!(worker.note(2).try_tell(), Err(TryTellError::Full(_))));
}

#[tokio::test(start_paused = true)]
async fn tell_waits_for_room() {
    let (log, gate) = (Log::default(), Gate::new());
    let worker = with_capacity(&System::new(), 1, &log);
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).tell().await.expect("the one place");
    let told = Arc::new(AtomicUsize::new(0));
    let sender = beside({
        let (worker, told) = (worker.clone(), Arc::clone(&told));
        async move {
            worker.note(2).tell().await.expect("taken in the end");
            told.fetch_add(1, Ordering::Relaxed);
        }
    });
    settle().await;
    assert_eq!(told.load(Ordering::Relaxed), 0, "there is no room yet");
    gate.open();
    sender.result().await;
    assert_eq!(worker.note(3).await, Ok(3));
    assert_eq!(log.entries(), ["held handler gone", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn past_65536_waiting_senders_the_next_is_refused() {
    assert_eq!(WAITERS_MAX, 65_536);
    let (log, gate) = (Log::default(), Gate::new());
    let worker = with_capacity(&System::new(), 1, &log);
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(0).tell().await.expect("the one place");
    let task = &mut Context::from_waker(Waker::noop());
    let mut waiting: Vec<Pin<Box<_>>> = (0..65_536).map(|n| Box::pin(worker.note(n).tell())).collect();
    for sender in &mut waiting {
        assert!(sender.as_mut().poll(task).is_pending());
    }
    let Err(TellError::Refused(told)) = worker.note(1).tell().await else {
        panic!("the line is full");
    };
    let Err(AskError::Refused(asked)) = worker.note(1).await else {
        panic!("the line is full");
    };
    assert_eq!((told.code, asked.code), (RefusalCode::Full, RefusalCode::Full));
    assert!(!worker.is_dead());
    waiting.pop();
    let mut last = Box::pin(worker.note(1).tell());
    assert!(matches!(last.as_mut().poll(task), Poll::Pending), "one place in the line is free");
}

/// A message of which we know how many there are.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Reader {
    read: usize,
}

#[actor]
impl Reader {
    #[handle]
    async fn pause(&self, gate: Gate) {
        gate.pass().await;
    }

    #[handle]
    fn read(&mut self, item: Counted) -> usize {
        drop(item);
        self.read += 1;
        self.read
    }
}

#[tokio::test(start_paused = true)]
async fn a_million_messages_to_a_stopped_reader_take_bounded_memory() {
    const MESSAGES: usize = 1_000_000;
    // Those queued, and one in the hand of the sender that waits.
    const ALIVE_MAX: usize = CAPACITY_DEFAULT + 1;
    let gate = Gate::new();
    let alive = Arc::new(AtomicUsize::new(0));
    let reader = System::new().spawn(Reader::default());
    reader.pause(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let sender = beside({
        let (reader, alive) = (reader.clone(), Arc::clone(&alive));
        async move {
            let mut most = 0;
            for _ in 0..MESSAGES {
                reader.read(Counted::new(&alive)).tell().await.expect("taken");
                most = most.max(alive.load(Ordering::Relaxed));
            }
            most
        }
    });
    wait_for("the sender stands before a full mailbox", || alive.load(Ordering::Relaxed) == ALIVE_MAX).await;
    settle().await;
    assert_eq!(alive.load(Ordering::Relaxed), ALIVE_MAX, "the sender waits");
    gate.open();
    let most = sender.result().await;
    assert!(most <= ALIVE_MAX, "{most} messages were alive at once");
    assert_eq!(reader.read(Counted::new(&alive)).await, Ok(MESSAGES + 1));
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
