//! Links: who is linked to an actor ends with it, when its end is abnormal.

use odeon::tree::Strategy;
use odeon::{ChildSpec, Cx, Down, ExitReason, Handle, Reply, Switch, System, TooManyLinks, actor};

use crate::remote::FakeRoute;
use crate::supervision::tree;
use crate::support::{Gate, Log, Worker, WorkerCalls, ended, settle, wait_for};

const LINKS_MAX: usize = 8_192;

/// Links itself to others, and ends in every way.
#[derive(Debug, Default)]
struct Member {
    log: Log,
}

#[actor]
impl Member {
    #[handle]
    fn link(&mut self, other: Handle<Self>, cx: &mut Cx<Self>) -> Result<(), TooManyLinks> {
        cx.link(&other)
    }

    #[handle]
    fn link_worker(&mut self, other: Handle<Worker>, cx: &mut Cx<Self>) -> Result<(), TooManyLinks> {
        cx.link(&other)
    }

    #[handle]
    fn link_far(
        &mut self,
        other: Handle<crate::deliveries::Greeter>,
        cx: &mut Cx<Self>,
    ) -> Result<(), TooManyLinks> {
        cx.link(&other)
    }

    #[handle]
    fn unlink(&mut self, other: Handle<Self>, cx: &mut Cx<Self>) {
        cx.unlink(&other);
    }

    #[handle]
    fn trap(&mut self, trap: Switch, cx: &mut Cx<Self>) {
        cx.trap_links(trap);
    }

    #[handle]
    fn panic(&mut self) {
        panic!("a member panics");
    }

    #[handle]
    fn give_up(&mut self, cx: &mut Cx<Self>) {
        cx.fail(std::io::Error::other("out of luck"));
    }

    #[handle]
    fn end(&mut self, cx: &mut Cx<Self>) {
        cx.stop();
    }

    #[handle]
    async fn hold(&mut self, gate: Gate) -> u32 {
        gate.pass().await;
        7
    }

    /// Takes messages itself until there are none.
    #[handle]
    async fn receive(&mut self, reply: Reply<bool>, cx: &mut Cx<Self>) {
        let told = cx.recv_down().await;
        self.log.push(format!("received: {}", told.is_some()));
        reply.send(told.is_some());
    }

    #[down]
    fn hear(&mut self, down: Down) {
        self.log.push(format!("down {}: {}", down.actor, down.reason));
    }

    #[stopped]
    fn finish(&mut self, reason: &ExitReason) {
        self.log.push(format!("finished: {reason}"));
    }
}

type MemberHandle = Handle<Member>;

fn member(system: &System) -> MemberHandle {
    system.spawn(Member::default())
}

fn logging(system: &System) -> (MemberHandle, Log) {
    let log = Log::default();
    (system.spawn(Member { log: log.clone() }), log)
}

async fn linked(one: &MemberHandle, other: &MemberHandle) {
    assert_eq!(one.link(other.clone()).await, Ok(Ok(())));
}

type BringAbout = fn(&MemberHandle);

#[tokio::test(start_paused = true)]
async fn an_abnormal_end_ends_the_other_whoever_linked_and_whatever_the_end() {
    let abnormal: [(BringAbout, &str); 3] = [
        (|member| drop(member.panic().try_tell()), "panicked at"),
        (|member| drop(member.give_up().try_tell()), "failed: out of luck"),
        (|member| member.kill(), "killed"),
    ];
    for (bring_about, told) in abnormal {
        for is_linker in [true, false] {
            let system = System::new();
            let ((one, one_log), (other, other_log)) = (logging(&system), logging(&system));
            linked(&one, &other).await;
            let (first, second, log) =
                if is_linker { (&one, &other, other_log) } else { (&other, &one, one_log) };
            bring_about(first);
            let reason = ended(second).await;
            let ExitReason::Linked { actor, why } = &reason else { panic!("{reason:?}") };
            assert_eq!(actor, &format!("actor {}", first.id()));
            assert!(why.starts_with(told), "{why}");
            // In order: the hook that runs at an end has run.
            assert_eq!(log.entries(), [format!("finished: {reason}")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_normal_end_ends_the_link_and_nothing_else() {
    let normal: [BringAbout; 3] =
        [|member| drop(member.end().try_tell()), |member| member.stop(), |member| member.drain()];
    for bring_about in normal {
        let system = System::new();
        let (one, (other, log)) = (member(&system), logging(&system));
        linked(&one, &other).await;
        bring_about(&one);
        ended(&one).await;
        settle().await;
        assert_eq!(other.ping().await, Ok(()));
        assert!(log.entries().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_goes_along_a_chain_of_links_and_its_reason_does_not_grow() {
    let system = System::new();
    let members: Vec<_> = (0..100).map(|_| member(&system)).collect();
    for pair in members.windows(2) {
        linked(&pair[0], &pair[1]).await;
    }
    members[50].kill();
    let origin =
        ExitReason::Linked { actor: format!("actor {}", members[50].id()), why: "killed".to_owned() };
    for at in [0, 49, 51, 99] {
        assert_eq!(ended(&members[at]).await, origin, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_taken_back_by_either_side_is_none() {
    let system = System::new();
    for is_linker in [true, false] {
        let (one, other) = (member(&system), member(&system));
        linked(&one, &other).await;
        linked(&one, &other).await;
        linked(&other, &one).await;
        let (by, from) = if is_linker { (&one, &other) } else { (&other, &one) };
        by.unlink(from.clone()).await.expect("done");
        by.kill();
        ended(by).await;
        settle().await;
        assert_eq!(from.ping().await, Ok(()));
        // What was linked once more after that is a new link.
        let third = member(&system);
        linked(from, &third).await;
        from.unlink(third.clone()).await.expect("done");
        linked(&third, from).await;
        third.kill();
        assert!(matches!(ended(from).await, ExitReason::Linked { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_links_to_one_that_has_ended_hears_of_that_end() {
    let system = System::new();
    for (bring_about, lives) in [((|m| m.kill()) as BringAbout, false), (|m| m.stop(), true)] {
        let (dead, late) = (member(&system), member(&system));
        bring_about(&dead);
        ended(&dead).await;
        linked(&late, &dead).await;
        settle().await;
        assert_eq!(late.is_dead(), !lives);
        assert_eq!(linked_to(&late).await, lives);
    }
    // Nobody is linked to itself.
    let alone = member(&system);
    linked(&alone, &alone).await;
    alone.kill();
    assert_eq!(ended(&alone).await, ExitReason::Killed);
}

async fn linked_to(member: &MemberHandle) -> bool {
    member.ping().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_trapped_end_is_a_notice_whatever_the_reason_and_the_trap_can_be_opened() {
    let system = System::new();
    let (keeper, log) = logging(&system);
    keeper.trap(Switch::On).await.expect("done");
    let (first, second, third) = (member(&system), member(&system), member(&system));
    for other in [&first, &second, &third] {
        linked(&keeper, other).await;
    }
    first.kill();
    wait_for("the first notice", || log.entries() == [format!("down {}: killed", first.id())]).await;
    second.stop();
    let told = format!("down {}: stopped", second.id());
    wait_for("the second notice", || log.count(&told) == 1).await;
    keeper.trap(Switch::Off).await.expect("done");
    third.kill();
    assert!(matches!(ended(&keeper).await, ExitReason::Linked { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_message_in_hand_is_finished_first() {
    let system = System::new();
    let (busy, other) = (member(&system), member(&system));
    linked(&busy, &other).await;
    let gate = Gate::new();
    let answer = crate::support::beside({
        let (busy, gate) = (busy.clone(), gate.clone());
        async move { busy.hold(gate).await }
    });
    gate.wait_entered().await;
    other.kill();
    ended(&other).await;
    settle().await;
    assert!(!busy.is_dead());
    gate.open();
    assert_eq!(answer.result().await, Ok(7));
    assert!(matches!(ended(&busy).await, ExitReason::Linked { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_receive_ends_with_the_link_or_receives_the_trapped_notice() {
    for trap in [Switch::Off, Switch::On] {
        let system = System::new();
        let ((waiting, log), other) = (logging(&system), member(&system));
        waiting.trap(trap).await.expect("done");
        linked(&waiting, &other).await;
        waiting.receive().tell().await.expect("taken");
        settle().await;
        other.kill();
        let is_told = trap == Switch::On;
        wait_for("the receive ends", || log.count(&format!("received: {is_told}")) == 1).await;
        assert_eq!(waiting.ping().await.is_ok(), is_told);
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_has_8192_links_and_not_one_more_and_either_side_counts() {
    let system = System::new();
    let (center, late) = (member(&system), member(&system));
    let others: Vec<_> = (0..LINKS_MAX).map(|_| member(&system)).collect();
    for other in &others {
        linked(other, &center).await;
    }
    assert_eq!(center.link(late.clone()).await, Ok(Err(TooManyLinks)));
    assert_eq!(late.link(center.clone()).await, Ok(Err(TooManyLinks)));
    // The side that had room is not left behind.
    center.unlink(others[0].clone()).await.expect("done");
    linked(&late, &center).await;
    center.kill();
    for other in others[1..].iter().chain([&late]) {
        assert!(matches!(ended(other).await, ExitReason::Linked { .. }));
    }
    assert_eq!(others[0].ping().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn linked_actors_that_come_and_go_leave_nothing_behind() {
    let system = System::new();
    let center = member(&system);
    for _ in 0..2 * LINKS_MAX {
        let other = member(&system);
        linked(&other, &center).await;
        other.stop();
        ended(&other).await;
    }
    assert_eq!(center.ping().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_link_over_a_lost_way_ends_the_actor_as_link_lost() {
    let system = System::new();
    let (near, far) = (member(&system), FakeRoute::new(None).handle());
    assert_eq!(near.link_far(far).await, Ok(Ok(())));
    let reason = ended(&near).await;
    assert_eq!(reason, ExitReason::LinkLost("of web-0@/shop:greeter: the cable was cut".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_started_again_has_not_ended_and_keeps_its_links() {
    let system = System::new();
    let mut tree = tree(&system, Strategy::OneForOne);
    let kept = tree.child(ChildSpec::new(Worker::default)).expect("there is room");
    let _supervisor = tree.start();
    let other = member(&system);
    assert_eq!(other.link_worker(kept.clone()).await, Ok(Ok(())));
    kept.panic().tell().await.expect("taken");
    assert_eq!(kept.note(1).await, Ok(1), "it was started again");
    assert_eq!(other.ping().await, Ok(()));
    let log = Log::default();
    let monitor = {
        let log = log.clone();
        kept.monitor(Box::new(move |_| log.push("over")))
    };
    monitor.expect("within the limit");
    other.kill();
    ended(&other).await;
    settle().await;
    assert_eq!(kept.note(2).await, Ok(2), "it fell with the other, and was started again");
    assert_eq!(log.entries(), [""; 0]);
}
