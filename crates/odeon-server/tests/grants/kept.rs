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

/// A disk on which the file of grants for others is written only when a test lets it be.
#[derive(Debug, Default)]
struct Gate {
    /// Whether somebody stands before it, and whether it is open.
    state: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl Gate {
    fn is_waited_at(&self) -> bool {
        self.state.lock().expect("nothing panics under it").0
    }

    fn open(&self) {
        self.state.lock().expect("nothing panics under it").1 = true;
        self.moved.notify_all();
    }
}

#[derive(Debug)]
struct GatedDisk(Arc<Gate>);

impl Disk for GatedDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        OsDisk.read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if path.ends_with("delegated") {
            let mut state = self.0.state.lock().expect("nothing panics under it");
            state.0 = true;
            self.0.moved.notify_all();
            let (state, timeout) = self
                .0
                .moved
                .wait_timeout_while(state, Duration::from_secs(20), |state| !state.1)
                .expect("nothing panics under it");
            drop(state);
            assert!(!timeout.timed_out(), "the gate is never opened");
        }
        OsDisk.replace(path, bytes)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn while_a_grant_is_written_others_are_served_and_whoever_waits_does_so_within_its_own_time() {
    let stage = Stage::new().await;
    stage.b.shutdown(Duration::from_secs(1)).await;
    let gate = Arc::<Gate>::default();
    let mut config = b_with(&stage.home, AdminKey::Known(stage.admin.public()), 2);
    config.world.disk = Arc::new(GatedDisk(Arc::clone(&gate)));
    let gated = Server::start(config).await.expect("b starts");
    gated.spawn_named("loader".parse().expect("a name"), crate::Loader).expect("registered");
    let stage = Stage { b: gated, ..stage };

    let patience = Duration::from_millis(300);
    let mut config = ServerConfig::new(id("operator@/"), cookie(), World::real(stage.home.host().clone()))
        .known(b(), stage.b.addresses().to_vec());
    config.reply_timeout = patience;
    let operator = Server::start(config).await.expect("it starts");
    let a = stage.server("a@/").await;
    refused(loader(&a, "loader").load().await);
    let grant = stage.issue(Some("a@/"), None, &["loader"], &[]);
    let late = operator.admin_authorize(&b(), &grant, &stage.admin).await;
    assert_eq!(late.err(), Some(AskError::Timeout { after: patience }));
    assert!(gate.is_waited_at());
    let asked = loader(&a, "loader").load().within(Duration::from_secs(10)).await;
    assert!(refused(asked).contains("loader"), "it does not count before it is kept");
    gate.open();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while loader(&a, "loader").load().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it counts once it is kept");
    }
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
