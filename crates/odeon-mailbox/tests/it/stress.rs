//! Real threads: nothing is lost, nothing comes twice, and each sender's items stay in order.

use std::sync::Arc;
use std::task::Poll;
use std::thread;

use odeon_mailbox::{Received, Sender, TrySendError, mailbox};

use crate::support::{Bell, block_on, poll_once};

const THREADS: usize = 4;
const ITEMS: usize = 20_000;
const CAPACITY: usize = 8;

/// (thread, number), with a count of those alive.
type Item = (usize, usize, Arc<()>);

/// Receives until drained; returns the numbers per thread of data and of control.
fn receive_all(
    mut receiver: odeon_mailbox::Receiver<Item, (usize, usize)>,
) -> [(Vec<usize>, Vec<usize>); THREADS] {
    let mut seen: [(Vec<usize>, Vec<usize>); THREADS] = Default::default();
    loop {
        match block_on(receiver.recv()) {
            Received::Data((thread, number, _)) => seen[thread].0.push(number),
            Received::Control((thread, number)) => seen[thread].1.push(number),
            Received::Drained => break,
        }
    }
    let left = receiver.close();
    assert!(left.data.is_empty());
    for (thread, number) in left.control {
        seen[thread].1.push(number);
    }
    seen
}

#[test]
fn nothing_is_lost_or_doubled_and_each_sender_stays_in_order() {
    fn produce(sender: &Sender<Item, (usize, usize)>, thread: usize, alive: &Arc<()>) {
        for number in 0..ITEMS {
            if number % 8 == 0 {
                sender.control((thread, number)).expect("control is far from its bound");
            }
            let mut item = (thread, number, Arc::clone(alive));
            if number % 3 == 0 {
                item = match sender.try_send(item) {
                    Ok(()) => continue,
                    Err(TrySendError::Full(item)) => item,
                    Err(TrySendError::Closed(_)) => panic!("the mailbox is open"),
                };
            }
            block_on(sender.send(item)).expect("the mailbox is open and not crowded");
            assert!(sender.len() <= CAPACITY, "the bound holds");
        }
    }

    let (sender, receiver) = mailbox(CAPACITY);
    let alive = Arc::new(());
    let seen = thread::scope(|scope| {
        let consumer = scope.spawn(|| receive_all(receiver));
        let producers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (sender, alive) = (sender.clone(), &alive);
                scope.spawn(move || produce(&sender, thread, alive))
            })
            .collect();
        for producer in producers {
            producer.join().expect("the producer ends well");
        }
        sender.close_intake();
        consumer.join().expect("the consumer ends well")
    });
    for (data, control) in seen {
        assert_eq!(data, (0..ITEMS).collect::<Vec<_>>());
        assert_eq!(control, (0..ITEMS).step_by(8).collect::<Vec<_>>());
    }
    assert_eq!(Arc::strong_count(&alive), 1, "every item was dropped exactly once");
}

#[test]
fn cancelled_sends_are_either_sent_or_dropped_and_never_block_others() {
    /// Returns what was surely sent; of the others some were admitted before they were cancelled.
    fn produce(sender: &Sender<Item, (usize, usize)>, thread: usize, alive: &Arc<()>) -> Vec<usize> {
        let bell = Bell::new();
        let mut sent = Vec::new();
        for number in 0..ITEMS {
            let mut send = sender.send((thread, number, Arc::clone(alive)));
            match poll_once(&mut send, &bell) {
                Poll::Ready(result) => result.expect("the mailbox is open and not crowded"),
                Poll::Pending if number % 2 == 0 => continue,
                Poll::Pending => block_on(send).expect("the mailbox is open and not crowded"),
            }
            sent.push(number);
        }
        sent
    }

    let (sender, receiver) = mailbox(1);
    let alive = Arc::new(());
    let (seen, sent) = thread::scope(|scope| {
        let consumer = scope.spawn(|| receive_all(receiver));
        let producers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (sender, alive) = (sender.clone(), &alive);
                scope.spawn(move || produce(&sender, thread, alive))
            })
            .collect();
        let sent: Vec<_> =
            producers.into_iter().map(|producer| producer.join().expect("the producer ends well")).collect();
        sender.close_intake();
        (consumer.join().expect("the consumer ends well"), sent)
    });
    for ((data, _), sent) in seen.into_iter().zip(sent) {
        assert!(data.windows(2).all(|pair| pair[0] < pair[1]), "in order and not twice");
        let seen: std::collections::HashSet<_> = data.into_iter().collect();
        assert!(sent.iter().all(|number| seen.contains(number)), "what was reported as sent arrived");
    }
    assert_eq!(Arc::strong_count(&alive), 1, "every item was dropped exactly once");
}

#[test]
fn closing_under_fire_accounts_for_every_item() {
    const PER_THREAD: usize = 50;
    for round in 0..THREADS * PER_THREAD {
        let (sender, mut receiver) = mailbox::<usize, ()>(2);
        let (left, refused) = thread::scope(|scope| {
            let producers: Vec<_> = (0..THREADS)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        (0..PER_THREAD).filter(|item| block_on(sender.send(*item)).is_err()).count()
                    })
                })
                .collect();
            for _ in 0..round {
                assert!(matches!(block_on(receiver.recv()), Received::Data(_)));
            }
            let left = receiver.close().data.len();
            let refused: usize =
                producers.into_iter().map(|producer| producer.join().expect("the producer ends well")).sum();
            (left, refused)
        });
        assert_eq!(round + left + refused, THREADS * PER_THREAD);
    }
}
