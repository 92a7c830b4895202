//! Links between actors of two servers.

use std::time::Duration;

use odeon_actor::{AskError, Cx, Handle, TooManyLinks, actor};
use odeon_core::{Epoch, ExitReason, RefusalCode, ServerId};
use odeon_server::{Server, ServerConfig};

use crate::support::{Site, at, cookie, id, soon, start, tcp, wait_until};

/// Links itself to one on another server, and ends when told.
#[derive(Debug, Default)]
struct Member {
    server: Option<Server>,
    greeted: usize,
    kept: Option<Handle<Self>>,
}

#[actor(mark = "member/1")]
impl Member {
    #[handle(local)]
    fn link(&mut self, to: ServerId, actor: String, cx: &mut Cx<Self>) -> Result<(), TooManyLinks> {
        let other = self.other(&to, &actor);
        cx.link(&other)
    }

    #[handle(local)]
    fn link_and_end(&mut self, to: ServerId, actor: String, cx: &mut Cx<Self>) -> Result<(), TooManyLinks> {
        let other = self.other(&to, &actor);
        cx.link(&other)?;
        cx.stop();
        Ok(())
    }

    #[handle(local)]
    fn unlink_and_fall(&mut self, to: ServerId, actor: String, cx: &mut Cx<Self>) {
        let other = self.other(&to, &actor);
        cx.unlink(&other);
        panic!("after the link was taken back");
    }

    #[handle(local)]
    async fn greet(&mut self, to: ServerId, actor: String) {
        self.other(&to, &actor).greeted(true).tell().await.expect("taken");
    }

    /// Greets back, by a handle to whoever sent this.
    #[handle]
    async fn greeted(&mut self, back: bool, cx: &mut Cx<Self>) {
        self.greeted += 1;
        if back {
            let sender = cx.sender_handle::<Self>().expect("an actor of that type");
            sender.greeted(false).tell().await.expect("taken");
        }
    }

    #[handle(local)]
    async fn be_kept(&mut self, by: ServerId) {
        self.other(&by, "member").keep().tell().await.expect("taken");
    }

    /// Keeps a handle to whoever sent this.
    #[handle]
    fn keep(&mut self, cx: &mut Cx<Self>) {
        self.kept = cx.sender_handle::<Self>();
    }

    /// Asks the one whose handle was kept; none, if none was.
    #[handle(local)]
    async fn ask_kept(&mut self) -> Option<Result<usize, AskError>> {
        match &self.kept {
            Some(kept) => Some(kept.greetings().await),
            None => None,
        }
    }

    #[handle]
    fn greetings(&self) -> usize {
        self.greeted
    }

    #[handle]
    fn fall(&self) {
        panic!("as told");
    }
}

impl Member {
    fn other(&self, server: &ServerId, actor: &str) -> Handle<Self> {
        self.server.as_ref().expect("a member that links has a server").actor(at(server, actor))
    }
}

fn member(server: &Server, name: &str) -> Handle<Member> {
    let member = Member { server: Some(server.clone()), ..Member::default() };
    server.spawn_named(name.parse().expect("a name"), member).expect("the name is free")
}

/// `a` knows where `b` listens; each has a member of the name `member`.
async fn two(site: &Site) -> (Server, Server, Handle<Member>, Handle<Member>) {
    let b = start(site.config("b@/").listen(site.unix("b@/"))).await;
    let a = start(site.config("a@/").known(b.id().clone(), b.addresses().to_vec())).await;
    let (here, there) = (member(&a, "member"), member(&b, "member"));
    (a, b, here, there)
}

async fn linked(here: &Handle<Member>, a: &Server, b: &Server) {
    here.link(b.id().clone(), "member".into()).await.expect("answered").expect("linked");
    // The wish travels first: once there is an answer to a later message, both sides are made.
    a.actor::<Member>(at(b.id(), "member")).greetings().await.expect("answered");
    let control = a.actor::<odeon_server::Control>(at(b.id(), "0"));
    odeon_server::ControlCalls::status(&control).await.expect("answered");
}

async fn end_of(handle: &Handle<Member>) -> ExitReason {
    soon("it ends", handle.ended()).await
}

#[tokio::test]
async fn an_abnormal_end_goes_over_the_link_of_servers_in_both_directions_with_its_reason() {
    for falls_here in [true, false] {
        let site = Site::new();
        let (a, b, here, there) = two(&site).await;
        linked(&here, &a, &b).await;
        let (falls, follows) = if falls_here { (&here, &there) } else { (&there, &here) };
        falls.fall().tell().await.expect("taken");
        let reason = end_of(follows).await;
        let ExitReason::Linked { actor, why } = &reason else { panic!("{reason:?}") };
        let of = if falls_here { format!("a@/:{}.1", here.id()) } else { "b@/:member".to_owned() };
        assert_eq!(actor, &of);
        assert!(why.contains("as told"), "{why}");
    }
}

#[tokio::test]
async fn a_normal_end_over_there_ends_nobody_even_if_it_comes_at_once() {
    let site = Site::new();
    let (a, b, here, there) = two(&site).await;
    a.connect(b.id(), &[]).await.expect("connected");
    here.link_and_end(b.id().clone(), "member".into()).await.expect("answered").expect("linked");
    assert_eq!(end_of(&here).await, ExitReason::Normal);
    // The other hears of this end by its true reason, although the actor is gone by then.
    let control = a.actor::<odeon_server::Control>(at(b.id(), "0"));
    for _ in 0..10 {
        odeon_server::ControlCalls::status(&control).await.expect("answered");
    }
    assert_eq!(there.ping().await, Ok(()));
}

#[tokio::test]
async fn a_link_taken_back_is_none_over_there_though_the_fall_follows_at_once() {
    let site = Site::new();
    let (a, b, here, there) = two(&site).await;
    linked(&here, &a, &b).await;
    drop(here.unlink_and_fall(b.id().clone(), "member".into()).await);
    assert!(matches!(end_of(&here).await, ExitReason::Panicked(_)));
    let control = a.actor::<odeon_server::Control>(at(b.id(), "0"));
    for _ in 0..10 {
        odeon_server::ControlCalls::status(&control).await.expect("answered");
    }
    assert_eq!(there.ping().await, Ok(()));
}

#[tokio::test]
async fn when_the_way_between_the_servers_is_lost_both_end_as_link_lost() {
    let site = Site::new();
    let (a, b, here, there) = two(&site).await;
    linked(&here, &a, &b).await;
    // A peer of another incarnation takes the link's place.
    let newer = ServerConfig::new(id("a@/"), cookie(7), site.world()).epoch(Epoch(2));
    let newer = start(newer.known(b.id().clone(), b.addresses().to_vec())).await;
    newer.connect(b.id(), &[]).await.expect("connected");
    for (member, other) in [(&here, "b@/:member".to_owned()), (&there, format!("a@/:{}.1", here.id()))] {
        let reason = end_of(member).await;
        let ExitReason::LinkLost(why) = &reason else { panic!("{reason:?}") };
        assert!(why.starts_with(&format!("of {other}: ")), "{why}");
    }
    b.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_link_that_the_other_server_refuses_ends_the_one_who_wanted_it_and_nobody_else() {
    let site = Site::new();
    // Over tcp the cookie gives no right to end anybody.
    let b = start(site.config("b@/").listen(tcp())).await;
    let a = start(site.config("a@/").known(b.id().clone(), b.addresses().to_vec())).await;
    let (here, there) = (member(&a, "member"), member(&b, "member"));
    here.link(b.id().clone(), "member".into()).await.expect("answered").expect("linked");
    let reason = end_of(&here).await;
    let ExitReason::LinkLost(why) = &reason else { panic!("{reason:?}") };
    assert!(why.contains("it was not linked") && why.contains("shutdown"), "{why}");
    assert_eq!(there.ping().await, Ok(()));
    // Nor can one be linked to nobody, or to a server itself.
    let site = Site::new();
    let (_a, b, here, _there) = two(&site).await;
    here.link(b.id().clone(), "nobody".into()).await.expect("answered").expect("linked");
    assert!(end_of(&here).await.to_string().contains("nobody"));
}

#[tokio::test]
async fn the_sender_of_a_message_is_reached_by_a_handle_here_and_on_another_server() {
    let site = Site::new();
    let (a, b, here, there) = two(&site).await;
    here.greet(b.id().clone(), "member".into()).await.expect("greeted");
    let second = member(&a, "second");
    second.greet(a.id().clone(), "member".into()).await.expect("greeted");
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let greeted = [&here, &there, &second].map(|member| member.greetings());
        let mut counts = Vec::new();
        for greetings in greeted {
            counts.push(greetings.await.expect("answered"));
        }
        // One greeting comes back over the link, the other from the same server.
        if counts == [2, 1, 1] {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{counts:?}");
        tokio::task::yield_now().await;
    }
    wait_until("nothing more is under way", || a.connections().len() == 1).await;
}

#[tokio::test]
async fn a_kept_handle_to_a_sender_means_nobody_of_its_servers_next_incarnation() {
    let site = Site::new();
    let at_a = site.unix("a@/");
    let b = start(site.config("b@/").listen(site.unix("b@/")).known(id("a@/"), vec![at_a.clone()])).await;
    let config = |epoch| {
        let config = site.config("a@/").epoch(Epoch(epoch)).listen(at_a.clone());
        config.known(b.id().clone(), b.addresses().to_vec())
    };
    let a = start(config(1)).await;
    let (first, keeper) = (member(&a, "member"), member(&b, "member"));
    first.be_kept(b.id().clone()).await.expect("answered");
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while keeper.ask_kept().await.expect("answered") != Some(Ok(0)) {
        assert!(tokio::time::Instant::now() < deadline, "the handle is of no use");
    }
    a.shutdown(Duration::ZERO).await;
    let a = start(config(2)).await;
    let stranger = member(&a, "stranger");
    assert_eq!(stranger.id(), first.id(), "the number is another's by now");
    a.connect(b.id(), &[]).await.expect("connected");
    match keeper.ask_kept().await.expect("answered") {
        Some(Err(AskError::Refused(refusal))) => {
            assert_eq!(refusal.code, RefusalCode::StaleNumber, "{refusal}")
        }
        other => panic!("delivered to a stranger: {other:?}"),
    }
}
