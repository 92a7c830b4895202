//! The code of the section "Testing your actors" of the guide, which a test compares with it.

#![expect(clippy::unwrap_used, reason = "the guide's code is that of programs, which may")]

use std::time::Duration;

use odeon::testing::{Probe, TestWorld, explore};
use odeon::{AskError, Recipient, actor};

const SECOND: Duration = Duration::from_secs(1);

/// Counts visits.
#[derive(Default)]
struct Visits(u64);

#[actor]
impl Visits {
    #[handle]
    fn visit(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

#[test]
fn an_hour_of_visits() {
    let world = TestWorld::from_env();
    let visits = world.system().spawn(Visits::default());
    let count = world.block_on(async {
        visits.visit().tell().await.unwrap();
        world.sleep(Duration::from_secs(3_600)).await; // takes no time
        visits.visit().await.unwrap()
    });
    assert_eq!(count, 2);
}

#[test]
fn two_visitors_are_counted_whoever_comes_first() {
    explore(0..100, |world| async move {
        let visits = world.system().spawn(Visits::default());
        let other = visits.clone();
        let beside = world.spawn("other", async move { other.visit().await.unwrap() });
        let counts = [visits.visit().await.unwrap(), beside.await];
        assert!(counts == [1, 2] || counts == [2, 1]);
    });
}

#[derive(Debug, PartialEq)]
struct Charge {
    cents: u32,
}

/// Pays at whatever takes charges.
async fn pay(bank: &Recipient<Charge, bool>, cents: u32) -> Result<bool, AskError> {
    bank.call(Charge { cents }).within(SECOND).await
}

#[tokio::test(start_paused = true)]
async fn paying_charges_the_bank_once() {
    let bank = Probe::<Charge, bool>::new(&odeon::System::new());
    let answering = async {
        let charge = bank.expect(SECOND).await;
        assert_eq!(charge.request, Charge { cents: 5 });
        charge.answer(true);
    };
    let to = bank.recipient();
    let (paid, ()) = tokio::join!(pay(&to, 5), answering);
    assert_eq!(paid, Ok(true));
    bank.expect_nothing(SECOND).await;
}

/// A section of the guide, between its heading and the next.
fn section(heading: &str) -> &'static str {
    let (_, from_here) = include_str!("../../../../docs/guide.md")
        .split_once(&format!("\n## {heading}\n"))
        .expect("the section");
    from_here.split_once("\n## ").map_or(from_here, |(section, _)| section)
}

/// So many blocks of code of a section stand in a file of tests.
pub(crate) fn assert_shown(heading: &str, here: &str, expected: usize) {
    let mut blocks = 0;
    for block in section(heading).split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("a block has an end");
        assert!(here.contains(code.trim()), "this is not in the test as it stands in the guide:\n{code}");
        blocks += 1;
    }
    assert_eq!(blocks, expected);
}

#[test]
fn the_guide_shows_the_code_above() {
    assert_shown("Testing your actors", include_str!("guide.rs"), 3);
}
