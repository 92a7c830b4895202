//! What whoever traces, and whoever counts, sees of certificates and of links under them.

use odeon_server::Limits;

use crate::support::{Site, ask};
use crate::traces::Traces;

#[test]
fn the_span_of_a_link_under_tls_says_so_on_both_sides() {
    let traces = Traces::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let site = Site::new();
    traces.during(|| {
        runtime.block_on(async {
            let b = site.listener("b@/", Limits::default()).await;
            let a = site.client("a@/", &b).await;
            assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
        });
    });
    let all = traces.all();
    for direction in ["outgoing", "incoming"] {
        let end = format!("direction=\"{direction}\" transport=\"tls\"");
        assert_eq!(all.iter().filter(|line| line.ends_with(&end)).count(), 1, "{all:?}");
    }
}

#[tokio::test]
async fn the_seconds_left_of_a_certificate_are_told_to_monitoring() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let text = b.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix("odeon_certificate_seconds "));
    let left: u64 = line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    let ends = site.context("b@/").own().not_after;
    let now = b.clock().unix_ms() / 1_000;
    assert!((ends - now..=ends - now + 60).contains(&left), "{left} until {ends}, at {now}");
}
