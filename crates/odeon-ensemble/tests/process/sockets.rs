//! Listening sockets that outlive the processes that serve them.

use std::os::fd::AsFd as _;
use std::time::Duration;

use odeon_ensemble::process::{Child, EndedBy, SpawnError, Target, sockets};

use crate::fixture::{Place, Supervisor, connect, read_answer, this_exe};

pub(crate) async fn passed_sockets_follow_the_protocol() {
    let place = Place::new();
    let address = "tcp:127.0.0.1:0".parse().expect("an address");
    let (one, two) = (sockets::bind(&address).expect("binds"), sockets::bind(&address).expect("binds"));
    let script = "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo mine; \
                  readlink /proc/$$/fd/3 /proc/$$/fd/4 | cut -c1-7; readlink /proc/$$/fd/0";
    let mut spec = place.shell(script);
    spec.listen = vec!["http".to_owned(), "admin".to_owned()];
    let child = Child::spawn(&spec, &[one.as_fd(), two.as_fd()], &this_exe()).await.expect("starts");
    assert_eq!(child.exited().await.ended_by, EndedBy::Code(0));
    assert_eq!(place.lines(), ["2 http:admin", "mine", "socket:", "socket:", "/dev/null"]);
    let error = Child::spawn(&spec, &[one.as_fd()], &this_exe()).await.expect_err("one is missing");
    assert!(matches!(error, SpawnError::Sockets { names: 2, sockets: 1, .. }), "{error}");
}

pub(crate) async fn the_queue_survives_a_killed_child() {
    let place = Place::new();
    let listener = sockets::bind(&"tcp:127.0.0.1:0".parse().expect("an address")).expect("binds");
    let addr = listener.local_addr().expect("bound");
    let mut spec = place.fixture("serve");
    spec.listen = vec!["http".to_owned()];
    let first = Child::spawn(&spec, &[listener.as_fd()], &this_exe()).await.expect("starts");
    assert_eq!(read_answer(connect(addr)), format!("{} http", first.pid()));
    first.signal(9, Target::Child).await.expect("signals");
    assert_eq!(first.exited().await.ended_by, EndedBy::Signal(9));
    // Nobody serves, and yet the connection is made.
    let waiting = connect(addr);
    let second = Child::spawn(&spec, &[listener.as_fd()], &this_exe()).await.expect("starts");
    assert_ne!(second.pid(), first.pid());
    assert_eq!(read_answer(waiting), format!("{} http", second.pid()));
    second.stop(Duration::from_secs(5)).await.expect("stops");
}

pub(crate) async fn inherited_descriptors_do_not_matter() {
    let place = Place::new();
    // As a CI runner's shell does: two low descriptors are open in everything it starts.
    let supervisor = Supervisor::start(&place, "exec \"$@\" 3</dev/null 5</dev/null").await;
    assert_eq!(read_answer(connect(supervisor.addr)), format!("{} http", supervisor.child.pid));
    let Ok(odeon_ensemble::process::Adopted::Running(child)) = Child::adopt(&place.dir()).await else {
        panic!("not running");
    };
    let inherited = |fd: i32| {
        let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", child.state().shim_pid));
        link.is_ok_and(|target| target.starts_with("/dev/null"))
    };
    assert!(!inherited(3) && !inherited(5), "the resident shim holds nothing of its starter's");
    child.stop(Duration::from_secs(5)).await.expect("stops");
}
