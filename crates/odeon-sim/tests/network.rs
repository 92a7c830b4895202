//! Each fault of the simulated network and hosts does what it says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use odeon_core::Address;
use odeon_core::seam::{Connection, Listener, Net, TaskKind};
use odeon_sim::{BACKLOG_MAX, Emerges, Host, Keep, Mangling, Pace, Power, SimDisk, Simulation, WINDOW_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longer than anything takes when nothing is wrong.
const SOON: Duration = Duration::from_millis(100);

/// Longer than anything takes once what was wrong is mended.
const MENDED: Duration = Duration::from_secs(5);

fn run<F: Future<Output = ()>>(body: impl FnOnce(Simulation) -> F) {
    Simulation::run(11, Keep::Hash, body).expect("a runtime");
}

fn at_b() -> Address {
    "tcp:b:1".parse().expect("an address")
}

struct Pair {
    net: Arc<dyn Net>,
    hosts: [Host; 2],
    /// The ends at `a` and at `b`.
    ends: [Connection; 2],
    listener: Box<dyn Listener>,
}

async fn pair(world: &Simulation) -> Pair {
    let hosts = ["a", "b"].map(|name| world.boot(name, &SimDisk::default()));
    let mut listener = hosts[1].world().net.listen(&at_b()).await.expect("bound");
    let net = hosts[0].world().net;
    let address = at_b();
    let (dialled, accepted) = tokio::join!(net.connect(&address), listener.accept());
    let ends = [dialled.expect("connected"), accepted.expect("accepted")];
    Pair { net, hosts, ends, listener }
}

async fn send(end: &mut Connection, text: &str) {
    end.stream.write_all(text.as_bytes()).await.expect("written");
}

/// What arrives within a time, as far as it is as long as `text`.
async fn arrives(end: &mut Connection, text: &str, within: Duration) -> bool {
    let mut bytes = vec![0; text.len()];
    match timeout(within, end.stream.read_exact(&mut bytes)).await {
        Ok(read) => read.is_ok() && bytes == text.as_bytes(),
        Err(_) => false,
    }
}

async fn read_error(end: &mut Connection) -> io::ErrorKind {
    let read = timeout(MENDED, end.stream.read_u8()).await.expect("told in time");
    read.expect_err("an error").kind()
}

#[test]
fn a_partition_blocks_both_ways_and_loses_nothing() {
    run(async |world| {
        let Pair { net, mut ends, .. } = pair(&world).await;
        let network = world.network();
        network.cut("a", "b");
        network.cut("b", "a");
        send(&mut ends[0], "there").await;
        send(&mut ends[1], "back").await;
        assert!(
            !arrives(&mut ends[0], "back", MENDED).await && !arrives(&mut ends[1], "there", MENDED).await
        );
        assert!(timeout(MENDED, net.connect(&at_b())).await.is_err(), "no new connection either");
        network.mend("a", "b");
        network.mend("b", "a");
        assert!(arrives(&mut ends[0], "back", MENDED).await && arrives(&mut ends[1], "there", MENDED).await);
    });
}

#[test]
fn a_one_way_cut_blocks_one_way() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().cut("a", "b");
        send(&mut ends[0], "there").await;
        send(&mut ends[1], "back").await;
        assert!(arrives(&mut ends[0], "back", SOON).await);
        assert!(!arrives(&mut ends[1], "there", MENDED).await);
    });
}

#[test]
fn a_delay_passes_in_virtual_time_and_keeps_the_order() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        let (delay, jitter) = (Duration::from_secs(3_600), Duration::from_secs(600));
        world.network().set_pace("a", "b", Some(Pace { delay, jitter }));
        let before = world.now();
        for part in ["one ", "two ", "three"] {
            send(&mut ends[0], part).await;
        }
        assert!(arrives(&mut ends[1], "one two three", 2 * delay).await);
        let passed = world.now() - before;
        assert!(passed >= delay && passed <= delay + jitter + SOON, "{passed:?}");
        world.network().set_pace("a", "b", None);
        send(&mut ends[0], "fast").await;
        assert!(arrives(&mut ends[1], "fast", SOON).await);
    });
}

#[test]
fn a_reset_is_told_to_both_ends() {
    run(async |world| {
        let Pair { net, mut listener, mut ends, .. } = pair(&world).await;
        world.network().reset("a", "b");
        for end in &mut ends {
            assert_eq!(read_error(end).await, io::ErrorKind::ConnectionReset);
            assert!(end.stream.write_all(b"x").await.is_err());
        }
        let address = at_b();
        let (again, accepted) = tokio::join!(net.connect(&address), listener.accept());
        assert!(again.is_ok() && accepted.is_ok(), "new connections are not touched");
    });
}

#[test]
fn a_reset_of_one_end_is_told_to_the_other_after_what_was_sent() {
    run(async |world| {
        let Pair { ends: [mut a, mut b], .. } = pair(&world).await;
        send(&mut a, "on its way").await;
        world.network().reset_end("a", "b");
        assert_eq!(read_error(&mut a).await, io::ErrorKind::ConnectionReset);
        assert!(arrives(&mut b, "on its way", SOON).await);
        drop(a);
        assert!(timeout(SOON, b.stream.read_u8()).await.expect("told").is_err());
    });
}

#[test]
fn what_is_held_arrives_late_and_behind_what_a_newer_connection_carries() {
    run(async |world| {
        let Pair { net, ends: [mut a, mut b], mut listener, .. } = pair(&world).await;
        let (began, held) = (world.now(), Duration::from_secs(7));
        world.network().hold("a", "b", held);
        send(&mut a, "earlier").await;
        send(&mut b, "back").await;
        assert!(arrives(&mut a, "back", SOON).await, "the other direction goes on");
        world.network().reset_end("a", "b");
        let address = at_b();
        let (again, accepted) = tokio::join!(net.connect(&address), listener.accept());
        send(&mut again.expect("connected"), "later").await;
        assert!(arrives(&mut accepted.expect("accepted"), "later", SOON).await);
        assert!(arrives(&mut b, "earlier", held).await);
        assert!(world.now() - began >= held);
    });
}

#[test]
fn a_black_hole_tells_nobody_and_swallows_one_direction() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().black_hole("a", "b");
        send(&mut ends[0], "there").await;
        send(&mut ends[1], "back").await;
        assert!(arrives(&mut ends[0], "back", SOON).await);
        assert!(!arrives(&mut ends[1], "there", Duration::from_secs(3_600)).await);
    });
}

#[test]
fn a_sender_waits_at_the_window_and_goes_on_when_the_other_reads() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        let full = "x".repeat(WINDOW_BYTES);
        send(&mut ends[0], &full).await;
        assert!(timeout(MENDED, ends[0].stream.write_u8(b'y')).await.is_err(), "one byte past it waits");
        assert!(arrives(&mut ends[1], &full, MENDED).await);
        timeout(SOON, ends[0].stream.write_u8(b'y')).await.expect("room again").expect("written");
        assert_eq!(world.network().peak_bytes(), WINDOW_BYTES);
    });
}

#[test]
fn where_nobody_listens_connections_are_refused() {
    run(async |world| {
        let Pair { net, listener, .. } = pair(&world).await;
        drop(listener);
        let error = timeout(SOON, net.connect(&at_b())).await.expect("at once").expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_full_backlog_takes_no_connection_more() {
    run(async |world| {
        let Pair { net, mut listener, ends, .. } = pair(&world).await;
        let mut waiting = Vec::from(ends);
        for _ in 0..BACKLOG_MAX {
            waiting.push(net.connect(&at_b()).await.expect("room in the backlog"));
        }
        assert!(net.connect(&at_b()).await.is_err(), "one past it");
        listener.accept().await.expect("accepted");
        assert!(net.connect(&at_b()).await.is_ok(), "room again");
    });
}

#[test]
fn an_end_that_is_dropped_says_so_after_what_it_sent() {
    run(async |world| {
        let Pair { ends: [mut a, mut b], .. } = pair(&world).await;
        send(&mut a, "last words").await;
        drop(a);
        let mut text = String::new();
        timeout(SOON, b.stream.read_to_string(&mut text)).await.expect("in time").expect("the end");
        assert_eq!(text, "last words");
        drop(b);
        assert_eq!(world.network().connections(), 0);
    });
}

#[test]
fn a_crash_with_power_resets_the_peers_and_frees_the_address() {
    run(async |world| {
        let Pair { net, hosts: [_, b], mut ends, .. } = pair(&world).await;
        b.crash(Power::Stays);
        assert_eq!(read_error(&mut ends[0]).await, io::ErrorKind::ConnectionReset);
        assert!(net.connect(&at_b()).await.is_err());
        let b = world.boot("b", &SimDisk::default());
        assert!(b.world().net.listen(&at_b()).await.is_ok());
    });
}

#[test]
fn a_crash_without_power_is_silent_until_the_host_is_back() {
    run(async |world| {
        let Pair { net, hosts: [_, b], mut ends, .. } = pair(&world).await;
        b.crash(Power::Fails);
        assert!(timeout(MENDED, ends[0].stream.read_u8()).await.is_err(), "nobody says anything");
        assert!(timeout(MENDED, net.connect(&at_b())).await.is_err());
        let _b = world.boot("b", &SimDisk::default());
        send(&mut ends[0], "still there?").await;
        assert_eq!(read_error(&mut ends[0]).await, io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_crash_takes_the_tasks_and_leaves_the_disk() {
    run(async |world| {
        let disk = SimDisk::default();
        let host = world.boot("a", &disk);
        let seams = host.world();
        let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        seams.disk.replace("/state".as_ref(), b"kept").expect("written");
        seams.spawn.spawn(TaskKind::Service, "waits", Box::pin(async move { alive.closed().await }));
        host.crash(Power::Stays);
        assert_eq!(gone.recv().await, None);
        let seams = world.boot("a", &disk).world();
        assert_eq!(seams.disk.read("/state".as_ref()).expect("there"), b"kept");
    });
}

#[test]
fn a_path_that_loses_segments_delivers_them_late_and_in_order() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().set_loss("a", "b", 40);
        let before = world.now();
        for part in ["one ", "two ", "three ", "four ", "five"] {
            send(&mut ends[0], part).await;
        }
        assert!(arrives(&mut ends[1], "one two three four five", Duration::from_secs(60)).await);
        assert!(world.now() - before >= Duration::from_millis(200), "a segment was sent again");
        assert!(world.network().bites()["lost"] > 0);
    });
}

#[test]
fn a_path_that_loses_everything_ends_its_connections() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().set_loss("a", "b", 100);
        send(&mut ends[0], "lost").await;
        assert_eq!(read_error(&mut ends[0]).await, io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_box_can_have_bytes_arrive_twice() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().set_mangling("a", "b", Some(Mangling::Duplicates));
        for _ in 0..50 {
            send(&mut ends[0], "x").await;
        }
        let twice = usize::try_from(world.network().bites()["duplicated"]).expect("a few");
        assert!(arrives(&mut ends[1], &"x".repeat(50 + twice), SOON).await);
        assert!(!arrives(&mut ends[1], "x", SOON).await);
    });
}

#[test]
fn a_box_can_have_bytes_overtake_each_other() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        world.network().set_mangling("a", "b", Some(Mangling::Reorders));
        let sent: String = ('a'..='z').collect();
        for letter in sent.chars() {
            send(&mut ends[0], &letter.to_string()).await;
        }
        let mut bytes = vec![0; sent.len() - 1];
        timeout(SOON, ends[1].stream.read_exact(&mut bytes)).await.expect("in time").expect("read");
        assert_ne!(bytes, &sent.as_bytes()[..bytes.len()]);
        assert!(world.network().bites()["overtaken"] > 0);
    });
}

#[test]
fn what_is_held_back_comes_out_of_a_younger_connection() {
    run(async |world| {
        let Pair { net, mut listener, mut ends, .. } = pair(&world).await;
        let hour = Duration::from_secs(3_600);
        world.network().hold_back("a", "b", hour, Emerges::Elsewhere);
        send(&mut ends[0], "old").await;
        assert!(!arrives(&mut ends[1], "old", MENDED).await);
        let address = at_b();
        let (young, accepted) = tokio::join!(net.connect(&address), listener.accept());
        let (mut young, mut accepted) = (young.expect("connected"), accepted.expect("accepted"));
        send(&mut young, "new ").await;
        assert!(arrives(&mut accepted, "new old", hour).await);
    });
}

#[test]
fn a_recorded_connection_is_played_again_by_a_stranger() {
    run(async |world| {
        world.network().record();
        let Pair { mut listener, mut ends, .. } = pair(&world).await;
        send(&mut ends[0], "sesame").await;
        drop(ends);
        world.sleep(MENDED).await;
        world.network().replay("b");
        let mut again = listener.accept().await.expect("accepted");
        assert!(arrives(&mut again, "sesame", SOON).await);
        assert_eq!(again.remote, "nobody");
        assert!(timeout(hours(1), again.stream.read_u8()).await.expect("it goes").is_err());
    });
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

#[test]
fn what_is_late_comes_out_of_its_own_connection_or_not_at_all() {
    run(async |world| {
        let Pair { mut ends, .. } = pair(&world).await;
        let hour = Duration::from_secs(3_600);
        world.network().hold_back("a", "b", hour, Emerges::Late);
        send(&mut ends[0], "old").await;
        assert!(!arrives(&mut ends[1], "old", MENDED).await);
        assert!(arrives(&mut ends[1], "old", hour).await);
        send(&mut ends[0], "older").await;
        let [mut a, b] = ends;
        drop(b);
        let mut byte = [0];
        assert_eq!(timeout(MENDED, a.stream.read(&mut byte)).await.expect("told").expect("the end"), 0);
        world.sleep(2 * hour).await;
        assert_eq!(world.network().bites()["late"], 2);
    });
}
