//! The code of the section "Actors that end together" of the guide, which a test compares with it.

use odeon::testing::TestWorld;
use odeon::{Cx, Handle, TooManyLinks, actor};

/// Counts what the chart shows.
#[derive(Default)]
struct Feed(u64);

#[actor]
impl Feed {
    #[handle]
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Shows what the feed counts, and is of no use without it.
struct Chart {
    feed: Handle<Feed>,
}

#[actor]
impl Chart {
    #[started]
    fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), TooManyLinks> {
        cx.link(&self.feed)
    }

    #[handle]
    async fn show(&mut self) -> Option<u64> {
        self.feed.next().await.ok()
    }
}

#[test]
fn the_chart_of_the_guide_ends_with_its_feed() {
    let world = TestWorld::from_env();
    let feed = world.system().spawn(Feed::default());
    let chart = world.system().spawn(Chart { feed: feed.clone() });
    let reason = world.block_on(async {
        assert_eq!(chart.show().await, Ok(Some(1)));
        feed.kill();
        chart.ended().await
    });
    assert!(matches!(reason, odeon::ExitReason::Linked { .. }), "{reason:?}");
}

#[test]
fn the_guide_shows_the_code_above() {
    crate::guide::assert_shown("Actors that end together", include_str!("guide_links.rs"), 1);
}
