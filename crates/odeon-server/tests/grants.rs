//! Who may do what over real links: the cookie alone, grants of all kinds, retractions, and what is written down.

#![expect(clippy::disallowed_methods, reason = "tests look at files")]

extern crate odeon_actor as odeon;

#[path = "grants/kept.rs"]
mod kept;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use odeon_actor::{AskError, Cx, Handle, actor};
use odeon_auth::{Cookie, GrantChain, GrantKey, NewBlock, PublicKey};
use odeon_core::{ActorId, Capabilities, Caveat, Epoch, Reference, Refusal, RefusalCode, Right, ServerId};
use odeon_server::{
    AUDIT_FILE, AUDIT_REFUSED_FILE, AdminKey, Authority, Control, ControlCalls, Home, OsRng, Retract, Server,
    ServerConfig, StartError, World,
};

#[derive(Debug)]
struct Loader;

/// Loads and evaluates, in principle.
#[actor(mark = "test-loader/1")]
impl Loader {
    /// Loads.
    #[handle(needs = "loader")]
    fn load(&self) -> String {
        "loaded".to_owned()
    }

    /// Evaluates; asks for the right by itself.
    #[handle]
    fn eval(&self, path: Option<String>, cx: &mut Cx<Self>) -> Result<u32, Refusal> {
        let sender = cx.sender();
        match path {
            None => sender.require("loader")?,
            Some(path) if sender.can_at("loader", &path) => {}
            Some(path) => return Err(Refusal::new(RefusalCode::NotAuthorised, path)),
        }
        Ok(4)
    }

    /// What whoever asks holds here.
    #[handle]
    fn held(&self, cx: &mut Cx<Self>) -> Vec<Right> {
        cx.sender().rights()
    }
}

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

fn held(texts: &[&str]) -> Capabilities {
    texts.iter().map(|text| text.parse().expect("a capability")).collect()
}

/// A server `b` over tcp with a loader, and what is needed to reach it.
struct Stage {
    directory: tempfile::TempDir,
    home: Home,
    admin: GrantKey,
    b: Server,
}

impl Stage {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::open(&directory.path().join("home")).expect("a home");
        let admin = GrantKey::generate(&OsRng);
        let b = start_b(&home, AdminKey::Known(admin.public()), 1).await.expect("b starts");
        Self { directory, home, admin, b }
    }

    /// A server that knows where `b` is.
    async fn server(&self, name: &str) -> Server {
        let config = ServerConfig::new(id(name), cookie(), World::real(self.home.host().clone()))
            .known(id("b@/"), self.b.addresses().to_vec());
        Server::start(config).await.expect("it starts")
    }

    fn now_ms(&self) -> u64 {
        self.b.clock().unix_ms()
    }

    fn issue(
        &self,
        grantee: Option<&str>,
        holder: Option<PublicKey>,
        what: &[&str],
        more: &[Caveat],
    ) -> GrantChain {
        let until = self.now_ms() / 1000 + 3_600;
        let mut caveats = vec![
            Caveat::Servers([id("b@/")].into()),
            Caveat::Capabilities(held(what)),
            Caveat::NotAfter(until),
        ];
        caveats.extend_from_slice(more);
        let block = NewBlock { now_ms: self.now_ms(), grantee: grantee.map(id), holder, caveats };
        GrantChain::issue(&self.admin, &OsRng, block).expect("issued")
    }

    fn log(&self, file: &str) -> String {
        std::fs::read_to_string(self.home.server(&id("b@/")).join(file)).unwrap_or_default()
    }

    async fn wait_logged(&self, file: &str, what: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while !self.log(file).contains(what) {
            assert!(tokio::time::Instant::now() < deadline, "{what} is not in {file}: {}", self.log(file));
            tokio::task::yield_now().await;
        }
    }
}

fn cookie() -> Cookie {
    Cookie::from_bytes([7; 32])
}

fn b_with(home: &Home, admin: AdminKey, epoch: u64) -> ServerConfig {
    let mut config = ServerConfig::new(id("b@/"), cookie(), World::real(home.host().clone()))
        .epoch(Epoch(epoch))
        .listen("tcp:127.0.0.1:0".parse().expect("an address"));
    config.authority = Authority { admin, directory: Some(home.server(&id("b@/"))), ..Authority::default() };
    config
}

async fn start_b(home: &Home, admin: AdminKey, epoch: u64) -> Result<Server, StartError> {
    let b = Server::start(b_with(home, admin, epoch)).await?;
    b.spawn_named("loader".parse().expect("a name"), Loader).expect("registered");
    b.spawn_named("other".parse().expect("a name"), Loader).expect("registered");
    Ok(b)
}

fn loader(from: &Server, name: &str) -> Handle<Loader> {
    from.actor(Reference::new(id("b@/"), ActorId::Name(name.parse().expect("a name"))))
}

fn control(from: &Server) -> Handle<Control> {
    from.actor(Reference::new(id("b@/"), ActorId::SERVER))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, AskError>) -> String {
    match outcome {
        Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised => refusal.detail,
        other => panic!("it should be refused: {other:?}"),
    }
}

#[tokio::test]
async fn srv_9_stop_is_refused_until_the_admin_key_authorises_it() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    let text = refused(control(&a).shutdown().await);
    assert!(
        text.contains("server/1#shutdown needs the capability `shutdown`, which a@/ does not hold here"),
        "{text}"
    );
    // The seed's way: whoever has the admin key authorises, here for itself.
    let grant = stage.issue(Some("a@/"), None, &["shutdown"], &[]);
    let entry = a.admin_authorize(&id("b@/"), &grant, &stage.admin).await.expect("authorised");
    assert_eq!((entry.grantee, entry.delegated), (Some(id("a@/")), true));
    control(&a).shutdown().await.expect("allowed");
    stage.b.shutdown_requested().await;
    stage.b.shutdown(Duration::from_secs(1)).await;
    assert!(
        a.actor::<Loader>(Reference::new(id("b@/"), ActorId::SERVER)).ping().await.is_err(),
        "it has ended"
    );
}

#[tokio::test]
async fn ldr_3_a_grant_and_its_retraction_count_for_the_next_message_of_a_live_link() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    let (key, loader) = (GrantKey::generate(&OsRng), loader(&a, "loader"));
    refused(loader.load().await);
    assert!(loader.eval(None).await.expect("answered").is_err());

    let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &[]);
    let entry = a.admin_authorize(&id("b@/"), &grant, &key).await.expect("authorised");
    assert!(!entry.delegated);
    assert_eq!(loader.load().await.as_deref(), Ok("loaded"));
    assert_eq!(loader.eval(None).await.expect("answered"), Ok(4));
    assert_eq!(loader.held().await.expect("answered"), [grant.right(false)]);
    refused(control(&a).shutdown().await);

    assert_eq!(a.admin_retract(&id("b@/"), Retract::Grantee(id("a@/"))).await, Ok(1), "one's own");
    refused(loader.load().await);
    assert!(loader.eval(None).await.expect("answered").is_err());
    assert!(a.admin_authorize(&id("b@/"), &grant, &key).await.is_err(), "retracted is retracted");
    assert_eq!(a.connections().len(), 1, "on one link all the time");

    let grant = stage.issue(Some("a@/"), Some(key.public()), &["shutdown"], &[]);
    a.admin_authorize(&id("b@/"), &grant, &key).await.expect("authorised");
    control(&a).shutdown().await.expect("allowed");
}

#[tokio::test]
async fn a_grant_holds_for_its_holder_on_its_link_within_its_limits_alone() {
    let stage = Stage::new().await;
    let (a, eve) = (stage.server("a@/").await, stage.server("eve@/").await);
    let (key, eves) = (GrantKey::generate(&OsRng), GrantKey::generate(&OsRng));
    let limits = [
        Caveat::Actors(["loader".parse().expect("an actor")].into()),
        Caveat::Paths(["cart/public".parse().expect("a path")].into()),
    ];
    let grant = stage.issue(Some("a@/"), Some(key.public()), &["loader"], &limits[..1]);
    for (server, key, why) in [
        (&a, &eves, "not answered with the key"),
        (&eve, &eves, "not answered with the key"),
        (&eve, &key, "is for a@/, and this link is eve@/'s"),
    ] {
        let text = refused(server.admin_authorize(&id("b@/"), &grant, key).await);
        assert!(text.contains(why), "{text}");
    }
    a.admin_authorize(&id("b@/"), &grant, &key).await.expect("authorised");
    assert!(loader(&a, "loader").load().await.is_ok());
    refused(loader(&a, "other").load().await);
    refused(loader(&eve, "loader").load().await);

    // Passed on, with a limit more, to whoever has the key.
    let until = Caveat::NotAfter(u64::MAX);
    let caveats = vec![until, limits[1].clone()];
    let block = NewBlock { now_ms: stage.now_ms(), grantee: None, holder: Some(eves.public()), caveats };
    let narrowed = grant.narrow(&key, &OsRng, block).expect("narrowed");
    eve.admin_authorize(&id("b@/"), &narrowed, &eves).await.expect("authorised");
    let eves_loader = loader(&eve, "loader");
    let at = |path: &str| eves_loader.eval(Some(path.to_owned()));
    assert_eq!(at("cart/public/1").await.expect("answered"), Ok(4));
    assert!(at("cart/private").await.expect("answered").is_err());
    refused(loader(&eve, "loader").load().await);

    // Of another ensemble, or cut: nothing.
    let foreign = Stage::new().await.issue(Some("a@/"), Some(key.public()), &["admin"], &[]);
    refused(a.admin_authorize(&id("b@/"), &foreign, &key).await);
    let mut text = grant.to_text();
    text.truncate(text.len() - 2);
    let cut = control(&a).present_grant(text).await.expect("answered").expect_err("refused");
    assert_eq!(cut.code, RefusalCode::BadPayload);
}

#[tokio::test]
async fn a_challenge_is_good_for_one_answer() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    let grant = stage.issue(Some("a@/"), None, &["loader"], &[]);
    let challenge = control(&a).present_grant(grant.to_text()).await.expect("answered").expect("a challenge");
    for _ in 0..2 {
        let answered =
            control(&a).answer_challenge(challenge.clone(), "00".repeat(64)).await.expect("answered");
        assert_eq!(answered.expect_err("refused").code, RefusalCode::NotAuthorised);
    }
    // Nobody is locked out by challenges that nobody answers.
    for _ in 0..20 {
        control(&a).present_grant(grant.to_text()).await.expect("answered").expect("a challenge");
    }
    a.admin_authorize(&id("b@/"), &grant, &stage.admin).await.expect("authorised");
    assert!(loader(&a, "loader").load().await.is_ok());
}

#[tokio::test]
async fn a_grant_for_another_lasts_beyond_links_and_restarts_until_it_is_retracted() {
    let mut stage = Stage::new().await;
    let operator = stage.server("operator@/").await;
    let a = stage.server("a@/").await;
    refused(loader(&a, "loader").load().await);
    let grant = stage.issue(Some("a@/"), None, &["loader"], &[]);
    operator.admin_authorize(&id("b@/"), &grant, &stage.admin).await.expect("authorised");
    assert!(loader(&a, "loader").load().await.is_ok(), "on the link there was");
    refused(loader(&operator, "loader").load().await);
    // Not the operator's own, and it is no admin here.
    let refusal = operator.admin_retract(&id("b@/"), Retract::Grant(grant.id().to_string())).await;
    refused(refusal);

    stage.b.shutdown(Duration::from_secs(1)).await;
    let admin = AdminKey::Known(stage.admin.public());
    stage.b = start_b(&stage.home, admin.clone(), 2).await.expect("b starts again");
    let a = stage.server("a@/").await;
    assert!(loader(&a, "loader").load().await.is_ok(), "in the next incarnation");
    let entries = stage.b.actor::<Control>("b@/:0".parse().expect("a reference"));
    let page = entries.list_grants(None, None).await.expect("a list");
    assert_eq!(page.grants[0].id, grant.id().to_string());

    assert_eq!(a.admin_retract(&id("b@/"), Retract::Grant(grant.id().to_string())).await, Ok(1));
    refused(loader(&a, "loader").load().await);
    stage.b.shutdown(Duration::from_secs(1)).await;
    stage.b = start_b(&stage.home, admin.clone(), 3).await.expect("b starts again");
    let operator = stage.server("operator@/").await;
    let again = operator.admin_authorize(&id("b@/"), &grant, &stage.admin).await;
    assert!(refused(again).contains("retracted"), "remembered");

    stage.b.shutdown(Duration::from_secs(1)).await;
    let file = stage.home.server(&id("b@/")).join("retractions");
    std::fs::write(&file, "odeon retractions 2\ngrant").expect("written");
    let error = start_b(&stage.home, admin.clone(), 4).await.expect_err("corrupt");
    assert!(error.to_string().contains("line 2 of"), "{error}");
    // What earlier builds have written would match nothing, and is not taken for what it is not.
    for (name, text) in
        [("retractions", "odeon retractions 1\n"), ("delegated", "odeon delegated grants 1\n")]
    {
        let file = stage.home.server(&id("b@/")).join(name);
        std::fs::write(&file, text).expect("written");
        let error = start_b(&stage.home, admin.clone(), 4).await.expect_err("old");
        assert!(error.to_string().contains("was written by an earlier build"), "{error}");
        assert!(error.to_string().contains(": remove it"), "{error}");
        std::fs::remove_file(&file).expect("removed");
    }
    start_b(&stage.home, admin, 4).await.expect("without them it starts");
}

#[tokio::test]
async fn the_admin_key_is_found_when_it_is_made_after_the_start() {
    let stage = Stage::new().await;
    let file = stage.directory.path().join("admin.pub");
    stage.b.shutdown(Duration::from_secs(1)).await;
    let b = start_b(&stage.home, AdminKey::File(file.clone()), 2).await.expect("b starts");
    let stage = Stage { b, ..stage };
    let (a, grant) = (stage.server("a@/").await, stage.issue(Some("a@/"), None, &["loader"], &[]));
    // That is no fault of the grant, which would be noted as refused for good.
    let without = a.admin_authorize(&id("b@/"), &grant, &stage.admin).await;
    let is_missing =
        |refusal: &Refusal| refusal.code == RefusalCode::NotFound && refusal.detail.contains("no admin key");
    assert!(matches!(&without, Err(AskError::Refused(refusal)) if is_missing(refusal)), "{without:?}");
    std::fs::write(&file, format!("{}\n", stage.admin.public())).expect("written");
    a.admin_authorize(&id("b@/"), &grant, &stage.admin).await.expect("authorised");
}

#[tokio::test]
async fn what_the_configuration_grants_counts_over_a_link_and_can_says_so_beforehand() {
    let stage = Stage::new().await;
    let mut config = ServerConfig::new(id("c@/"), cookie(), World::real(stage.home.host().clone()))
        .listen("tcp:127.0.0.1:0".parse().expect("an address"));
    config.authority.grants = BTreeMap::from([(id("a@/"), held(&["loader"]))]);
    let c = Server::start(config).await.expect("c starts");
    c.spawn_named("loader".parse().expect("a name"), Loader).expect("registered");
    let a = stage.server("a@/").await;
    a.know(id("c@/"), c.addresses().to_vec());
    let loader: Handle<Loader> = a.actor("c@/:loader".parse().expect("a reference"));
    assert!(loader.load().await.is_ok());
    let there: Handle<Control> = a.actor("c@/:0".parse().expect("a reference"));
    refused(there.stop_actor("loader".parse().expect("an actor")).await);

    let can =
        |who: &str, what: &str| there.can(id(who), what.parse().expect("a capability"), None, None, None);
    let verdict = can("a@/", "loader").await.expect("answered").expect("one's own");
    assert!(verdict.allowed && verdict.why.contains("`auth` of the configuration"), "{}", verdict.why);
    let verdict = can("a@/", "shutdown").await.expect("answered").expect("one's own");
    assert!(!verdict.allowed && verdict.why.contains("it holds: loader"), "{}", verdict.why);
    let others = can("b@/", "loader").await.expect("answered").expect_err("another's");
    assert_eq!(others.code, RefusalCode::NotAuthorised);
}

#[tokio::test]
async fn every_privileged_act_is_written_down_and_a_flood_of_refusals_is_not() {
    let stage = Stage::new().await;
    let a = stage.server("a@/").await;
    for _ in 0..100 {
        refused(loader(&a, "loader").load().await);
    }
    let grant = stage.issue(Some("a@/"), None, &["loader"], &[]);
    a.admin_authorize(&id("b@/"), &grant, &stage.admin).await.expect("authorised");
    loader(&a, "loader").load().await.expect("allowed");
    loader(&a, "loader").eval(None).await.expect("answered").expect("allowed");
    stage.wait_logged(AUDIT_FILE, "test-loader/1#eval").await;
    stage.wait_logged(AUDIT_REFUSED_FILE, "\"so_far\":64").await;

    let allowed = stage.log(AUDIT_FILE);
    let lines: Vec<&str> = allowed.lines().collect();
    assert_eq!(lines.len(), 3, "{allowed}");
    for part in [
        r#""server":"b@/""#,
        r#""peer":"a@/""#,
        r#""transport":"tcp""#,
        r#""actor":"loader""#,
        r#""mark":"test-loader/1#load""#,
        r#""capability":"loader""#,
        r#""allowed":true"#,
        &format!(r#""chain":["{}"]"#, grant.id()),
    ] {
        assert!(lines[1].contains(part), "{part} is not in {}", lines[1]);
    }
    let refusals = stage.log(AUDIT_REFUSED_FILE);
    // 1, 2, 4 … 64; a minute that ends in between begins anew.
    assert!((7..=14).contains(&refusals.lines().count()), "{refusals}");
    assert!(refusals.contains(r#""left_out":"#), "{refusals}");
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&stage.home.server(&id("b@/")).join(AUDIT_FILE)), 0o600);
    refused(control(&a).audit(10).await);
    let here = stage.b.actor::<Control>("b@/:0".parse().expect("a reference"));
    assert!(here.audit(1).await.expect("lines")[0].contains("server/1#audit"), "the refusal just now");
}
