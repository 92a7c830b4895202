//! What is kept of grants in files, and what happens when it cannot be; lists of grants, and what is audited of them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use odeon_actor::{AskError, Handle};
use odeon_auth::GrantKey;
use odeon_core::seam::Disk;
use odeon_core::{RefusalCode, ServerId};
use odeon_server::{
    AUDIT_FILE, AUDIT_REFUSED_FILE, AdminKey, Control, ControlCalls, OsDisk, OsRng, Retract, Server,
    ServerConfig, World, all_grants,
};

use crate::{LoaderCalls as _, Stage, b_with, control, cookie, id, loader, refused, start_b};

/// The control plane of `b`, for code of its own process.
fn here(stage: &Stage) -> Handle<Control> {
    stage.b.actor("b@/:0".parse().expect("a reference"))
}

fn b() -> ServerId {
    id("b@/")
}

#[tokio::test]
async fn a_grant_for_another_that_cannot_be_kept_does_not_count() {
    let stage = Stage::new().await;
    let (operator, a) = (stage.server("operator@/").await, stage.server("a@/").await);
    let file = stage.home.server(&b()).join("delegated");
    // A file does not take the place of a directory.
    std::fs::create_dir_all(&file).expect("made");
    let grant = stage.issue(Some("a@/"), None, &["loader"], &[]);
    let failed = operator.admin_authorize(&b(), &grant, &stage.admin).await;
    assert!(
        matches!(&failed, Err(AskError::Refused(why)) if why.code == RefusalCode::Internal),
        "{failed:?}"
    );
    refused(loader(&a, "loader").load().await);
    std::fs::remove_dir(&file).expect("removed");
    operator.admin_authorize(&b(), &grant, &stage.admin).await.expect("authorised");
    assert!(loader(&a, "loader").load().await.is_ok());
}

#[tokio::test]
async fn without_the_admin_key_what_was_granted_for_others_stays_in_its_file_and_counts_again_with_it() {
    let stage = Stage::new().await;
    let key = stage.directory.path().join("admin.pub");
    let write_key = |text: &str| std::fs::write(&key, text).expect("written");
    stage.b.shutdown(Duration::from_secs(1)).await;
    write_key(&format!("{}\n", stage.admin.public()));
    let b_2 = start_b(&stage.home, AdminKey::File(key.clone()), 2).await.expect("b starts");
    let stage = Stage { b: b_2, ..stage };
    let operator = stage.server("operator@/").await;
    let first = stage.issue(Some("a@/"), None, &["loader"], &[]);
    operator.admin_authorize(&b(), &first, &stage.admin).await.expect("authorised");

    for broken in ["", "not a key\n"] {
        stage.b.shutdown(Duration::from_secs(1)).await;
        write_key(broken);
        let b_3 = start_b(&stage.home, AdminKey::File(key.clone()), 3).await.expect("b starts");
        // A retraction is kept without a look at the key.
        let control: Handle<Control> = b_3.actor("b@/:0".parse().expect("a reference"));
        let nobody = Retract::Grantee(id("nobody@/"));
        assert_eq!(control.retract_grants(nobody).await.expect("answered"), Ok(0));
        b_3.shutdown(Duration::from_secs(1)).await;
        let kept = std::fs::read_to_string(stage.home.server(&b()).join("delegated")).expect("kept");
        assert!(kept.contains(&first.to_text()), "{kept}");
    }

    write_key("not a key\n");
    let b_4 = start_b(&stage.home, AdminKey::File(key.clone()), 4).await.expect("b starts");
    let stage = Stage { b: b_4, ..stage };
    let (operator, a) = (stage.server("operator@/").await, stage.server("a@/").await);
    refused(loader(&a, "loader").load().await);
    write_key(&format!("{}\n", stage.admin.public()));
    let second = stage.issue(Some("c@/"), None, &["loader"], &[]);
    operator.admin_authorize(&b(), &second, &stage.admin).await.expect("authorised");
    assert!(loader(&a, "loader").load().await.is_ok(), "the first counts again");
    let kept = std::fs::read_to_string(stage.home.server(&b()).join("delegated")).expect("kept");
    assert!(kept.contains(&first.to_text()) && kept.contains(&second.to_text()), "{kept}");
}

#[tokio::test]
async fn a_retraction_writes_the_file_that_it_changes_and_no_other() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    let key = GrantKey::generate(&OsRng);
    let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &[]);
    a.admin_authorize(&b(), &grant, &key).await.expect("authorised");
    assert_eq!(a.admin_retract(&b(), Retract::Grant(grant.id().to_string())).await, Ok(1));
    let place = stage.home.server(&b());
    assert!(place.join("retractions").exists());
    assert!(!place.join("delegated").exists(), "nothing was granted for another");
}

/// A disk on which one file is written, or read, only when a test lets it be.
#[derive(Debug, Default)]
struct Gate {
    /// Those that stand before it, and whether it is open.
    state: Mutex<(usize, bool)>,
    moved: Condvar,
}

impl Gate {
    /// How many have come to it.
    fn waited(&self) -> usize {
        self.state.lock().expect("nothing panics under it").0
    }

    async fn wait_until_waited_at(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.waited() == 0 {
            assert!(tokio::time::Instant::now() < deadline, "nobody comes to the gate");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn open(&self) {
        self.state.lock().expect("nothing panics under it").1 = true;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("nothing panics under it");
        state.0 += 1;
        let (state, timeout) = self
            .moved
            .wait_timeout_while(state, PATIENCE, |state| !state.1)
            .expect("nothing panics under it");
        drop(state);
        assert!(!timeout.timed_out(), "the gate is never opened");
    }
}

/// What takes longer than this does not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether what is asked of the disk stands before the gate: reading or not, and where.
type IsGated = fn(bool, &Path) -> bool;

#[derive(Debug)]
struct GatedDisk(Arc<Gate>, IsGated);

impl Disk for GatedDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if (self.1)(true, path) {
            self.0.pass();
        }
        OsDisk.read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if (self.1)(false, path) {
            self.0.pass();
        }
        OsDisk.replace(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if (self.1)(false, path) {
            self.0.pass();
        }
        OsDisk.append(path, bytes)
    }
}

/// A stage whose `b` has such a disk.
async fn gated(admin: impl FnOnce(&Stage) -> AdminKey, is_gated: IsGated) -> (Stage, Arc<Gate>) {
    let stage = Stage::new().await;
    stage.b.shutdown(Duration::from_secs(1)).await;
    let gate = Arc::<Gate>::default();
    let mut config = b_with(&stage.home, admin(&stage), 2);
    config.world.disk = Arc::new(GatedDisk(Arc::clone(&gate), is_gated));
    let gated = Server::start(config).await.expect("b starts");
    gated.spawn_named("loader".parse().expect("a name"), crate::Loader).expect("registered");
    (Stage { b: gated, ..stage }, gate)
}

fn known(stage: &Stage) -> AdminKey {
    AdminKey::Known(stage.admin.public())
}

async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE / 2, future.into_future())
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Whether `b` serves `a` in every way, while something waits for its disk.
async fn assert_serves(stage: &Stage, a: &Server) {
    let control = control(a);
    soon("a status", control.status()).await.expect("answered");
    soon("a ping", control.ping_actor("loader".parse().expect("an actor")))
        .await
        .expect("answered")
        .expect("alive");
    let none = soon("nonsense", control.present_grant("x".to_owned())).await.expect("answered");
    assert_eq!(none.expect_err("no grant").code, RefusalCode::BadPayload);
    let key = GrantKey::generate(&OsRng);
    let grant = stage.issue(Some(&a.id().to_string()), Some(key.public()), &["loader"], &[]);
    soon("a grant of one's own", a.admin_authorize(&b(), &grant, &key)).await.expect("authorised");
    assert!(soon("a load", loader(a, "loader").load()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_grant_is_written_others_are_served_and_whoever_waits_does_so_within_its_own_time() {
    let (stage, gate) = gated(known, |reads, path| !reads && path.ends_with("delegated")).await;
    let (operator, a, c) =
        (stage.server("operator@/").await, stage.server("a@/").await, stage.server("c@/").await);
    for linked in [&operator, &a, &c] {
        control(linked).status().await.expect("answered");
    }
    let grant = stage.issue(Some("c@/"), None, &["loader"], &[]);
    let writing = tokio::spawn({
        let (operator, grant, admin) = (operator.clone(), grant.clone(), stage.admin.clone());
        async move { operator.admin_authorize(&b(), &grant, &admin).await }
    });
    gate.wait_until_waited_at().await;
    assert_serves(&stage, &a).await;
    // One that it would have to wait for has its own time.
    let patience = Duration::from_millis(100);
    let mut config = ServerConfig::new(id("late@/"), cookie(), World::real(stage.home.host().clone()))
        .known(b(), stage.b.addresses().to_vec());
    config.reply_timeout = patience;
    let late = Server::start(config).await.expect("it starts");
    let more = stage.issue(Some("d@/"), None, &["loader"], &[]);
    let timeout = late.admin_authorize(&b(), &more, &stage.admin).await;
    assert_eq!(timeout.err(), Some(AskError::Timeout { after: patience }));
    assert!(refused(soon("a refusal", loader(&c, "loader").load()).await).contains("loader"), "not kept yet");
    assert!(!writing.is_finished());
    gate.open();
    soon("the grant", writing).await.expect("no panic").expect("authorised");
    assert!(loader(&c, "loader").load().await.is_ok(), "it counts once it is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_hangs_has_one_thread_however_many_peers_wait_for_it() {
    let (stage, gate) = gated(known, |reads, path| !reads && path.ends_with("retractions")).await;
    let (a, operator) = (stage.server("a@/").await, stage.server("operator@/").await);
    let key = GrantKey::generate(&OsRng);
    let mut own = Vec::new();
    for _ in 0..3 {
        let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &[]);
        a.admin_authorize(&b(), &grant, &key).await.expect("authorised");
        own.push(grant.id().to_string());
    }
    let retracting: Vec<_> = own
        .into_iter()
        .map(|id| {
            let a = a.clone();
            tokio::spawn(async move { a.admin_retract(&b(), Retract::Grant(id)).await })
        })
        .collect();
    gate.wait_until_waited_at().await;
    // What is retracted counts no longer, while it is still being written.
    let deadline = tokio::time::Instant::now() + PATIENCE / 2;
    while loader(&a, "loader").load().await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it still counts");
    }
    // Who has no right to it is told so, and does not wait.
    let mine = Retract::Grantee(id("a@/"));
    let refused = soon("a refusal", operator.admin_retract(&b(), mine)).await;
    assert!(
        matches!(&refused, Err(AskError::Refused(why)) if why.code == RefusalCode::NotAuthorised),
        "{refused:?}"
    );
    assert_serves(&stage, &operator).await;
    assert_eq!(gate.waited(), 1, "the others wait without a thread");
    gate.open();
    for retracted in retracting {
        assert_eq!(soon("a retraction", retracted).await.expect("no panic"), Ok(1));
    }
}

/// Waits until one of them is over, and says which.
async fn wait_for_one<T>(all: &[tokio::task::JoinHandle<T>]) -> usize {
    let deadline = tokio::time::Instant::now() + PATIENCE / 2;
    loop {
        if let Some(place) = all.iter().position(tokio::task::JoinHandle::is_finished) {
            return place;
        }
        assert!(tokio::time::Instant::now() < deadline, "none is over");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_peer_presents_as_many_grants_at_once_as_its_share_says() {
    let key_of = |stage: &Stage| {
        let path = stage.directory.path().join("admin.pub");
        std::fs::write(&path, format!("{}\n", stage.admin.public())).expect("written");
        AdminKey::File(path)
    };
    let (stage, gate) = gated(key_of, |reads, path| reads && path.ends_with("admin.pub")).await;
    let (greedy, other) = (stage.server("greedy@/").await, stage.server("other@/").await);
    let present = |client: &Server| {
        let control = control(client);
        tokio::spawn(async move { control.present_grant("x".to_owned()).await.expect("answered") })
    };
    let mut presented: Vec<_> = (0..65).map(|_| present(&greedy)).collect();
    let early = presented.remove(wait_for_one(&presented).await);
    let refusal = early.await.expect("no panic").expect_err("one too many");
    assert_eq!(refusal.code, RefusalCode::LimitReached);
    assert!(refusal.detail.contains("greedy@/ has 64 grants under way"), "{refusal:?}");
    let of_other = present(&other);
    soon("a status", control(&other).status()).await.expect("answered");
    assert_eq!(gate.waited(), 1, "one reads, and the others wait without a thread");
    gate.open();
    for one in presented.into_iter().chain([of_other]) {
        let refusal = soon("an answer", one).await.expect("no panic").expect_err("no grant");
        assert_eq!(refusal.code, RefusalCode::BadPayload);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_the_audit_log_is_written_the_server_serves() {
    let (stage, gate) = gated(known, |reads, path| !reads && path.ends_with(AUDIT_REFUSED_FILE)).await;
    let a = stage.server("a@/").await;
    refused(loader(&a, "loader").load().await);
    gate.wait_until_waited_at().await;
    assert_serves(&stage, &a).await;
    gate.open();
    stage.wait_logged(AUDIT_REFUSED_FILE, "test-loader/1#load").await;
}

#[tokio::test]
async fn grants_are_listed_by_pages_each_once() {
    let stage = Stage::new().await;
    let (operator, a) = (stage.server("operator@/").await, stage.server("a@/").await);
    let key = GrantKey::generate(&OsRng);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &[]);
        operator.admin_authorize(&b(), &grant, &stage.admin).await.expect("authorised");
        ids.push(grant.id().to_string());
        // The same grant twice, by itself and by another: on one page.
        a.admin_authorize(&b(), &grant, &key).await.expect("authorised");
    }
    ids.sort();
    let here = here(&stage);
    let page = here.list_grants(None, Some(2)).await.expect("a page");
    assert_eq!((page.grants.len(), page.next.as_deref()), (4, Some(ids[1].as_str())));
    let page = here.list_grants(Some(ids[3].clone()), Some(1)).await.expect("a page");
    assert_eq!((page.grants.len(), page.grants[0].id.as_str(), page.next), (2, ids[4].as_str(), None));
    let all = all_grants(&here, Duration::from_secs(5)).await.expect("all");
    let listed: Vec<&str> = all.iter().map(|grant| grant.id.as_str()).collect();
    let twice: Vec<&str> = ids.iter().flat_map(|id| [id.as_str(); 2]).collect();
    assert_eq!(listed, twice);
}

#[tokio::test]
async fn ones_own_retraction_and_a_refused_grant_are_written_down() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    assert!(control(&a).present_grant("none".to_owned()).await.expect("answered").is_err());
    stage.wait_logged(AUDIT_REFUSED_FILE, "server/1#present-grant").await;
    let key = GrantKey::generate(&OsRng);
    let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &[]);
    a.admin_authorize(&b(), &grant, &key).await.expect("authorised");
    assert_eq!(a.admin_retract(&b(), Retract::Grant(grant.id().to_string())).await, Ok(1));
    stage.wait_logged(AUDIT_FILE, &format!("its own: grant {}", grant.id())).await;
    let log = stage.log(AUDIT_FILE);
    let line = log.lines().find(|line| line.contains("server/1#retract-grants")).expect("a line");
    assert!(line.contains(r#""peer":"a@/""#) && line.contains(r#""allowed":true"#), "{line}");
}
