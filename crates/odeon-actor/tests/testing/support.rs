//! What the tests share: a small program of several actors, and one with a planted bug.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use odeon::testing::TestWorld;
use odeon::{Cx, Handle, actor};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Keeps what it is given, in order.
#[derive(Debug, Default)]
pub(crate) struct Log(Vec<u64>);

pub(crate) type LogHandle = Handle<Log>;

#[actor]
impl Log {
    #[handle]
    fn push(&mut self, n: u64) -> usize {
        self.0.push(n);
        self.0.len()
    }

    #[handle]
    fn entries(&self) -> Vec<u64> {
        self.0.clone()
    }
}

/// Writes its number into a log, and waits now and then.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) number: u64,
    pub(crate) log: LogHandle,
}

#[actor]
impl Writer {
    #[handle]
    async fn write(&mut self, cx: &mut Cx<Self>) {
        let now = cx.system().clock().now();
        self.log.push(self.number).await.expect("the log lives");
        cx.system().clock().sleep_until(now + Duration::from_millis(self.number)).await;
        self.log.push(self.number + 100).tell().await.expect("the log lives");
    }
}

/// Four writers, three rounds: what the log has at the end.
pub(crate) async fn program(world: &TestWorld) -> Vec<u64> {
    let log = world.system().spawn(Log::default());
    let writers: Vec<_> =
        (0..4).map(|number| world.system().spawn(Writer { number, log: log.clone() })).collect();
    for round in 0..3 {
        for writer in &writers {
            writer.write().tell().await.expect("it lives");
        }
        let asking = log.clone();
        let beside = world.spawn("beside", async move { asking.push(1_000 + round).await });
        world.sleep(Duration::from_millis(2)).await;
        beside.await.expect("the log lives");
    }
    world.sleep(SECOND).await;
    log.entries().await.expect("the log lives")
}

/// A bank account with a bug: between its look at the balance and the new balance it lets others run.
#[derive(Debug, Default)]
pub(crate) struct Account(i64);

pub(crate) type AccountHandle = Handle<Account>;

#[actor]
impl Account {
    #[handle]
    fn balance(&self) -> i64 {
        self.0
    }

    #[handle]
    fn set(&mut self, balance: i64) {
        self.0 = balance;
    }
}

/// Puts money into an account in two steps, which is wrong.
#[derive(Debug)]
pub(crate) struct Teller(pub(crate) AccountHandle);

#[actor]
impl Teller {
    #[handle]
    async fn deposit(&mut self, amount: i64) {
        let balance = self.0.balance().await.expect("it lives");
        self.0.set(balance + amount).await.expect("it lives");
    }
}

/// Two tellers at one account; fails where one comes between the other's steps.
pub(crate) async fn two_tellers(world: TestWorld) {
    let account = world.system().spawn(Account::default());
    let [one, two] = [(); 2].map(|()| world.system().spawn(Teller(account.clone())));
    one.deposit(1).tell().await.expect("it lives");
    two.deposit(1).tell().await.expect("it lives");
    world.sleep(SECOND).await;
    assert_eq!(account.balance().await, Ok(2), "money was lost");
}

/// The text of the panic in `f`, which must panic.
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}
