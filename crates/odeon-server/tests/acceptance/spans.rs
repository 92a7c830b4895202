//! What whoever traces sees of a link.

use std::time::Duration;

use crate::support::{Echo, EchoCalls as _, Site, at, echo, hello_world, start, tcp, wait_until};
use crate::traces::Traces;

#[test]
fn a_link_has_one_span_with_its_opening_and_its_end() {
    let traces = Traces::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let site = Site::new();
    let b = runtime.block_on(async { start(site.config("b@/").listen(tcp())).await });
    let listening = b.addresses()[0].to_string();
    let a = runtime
        .block_on(async { start(site.config("a@/").known(b.id().clone(), b.addresses().to_vec())).await });
    traces.during(|| {
        runtime.block_on(async {
            echo(&b);
            for _ in 0..100 {
                let there = a.actor::<Echo>(at(b.id(), "echo"));
                assert_eq!(there.say("hello".into()).await, Ok(hello_world()));
            }
            a.shutdown(Duration::ZERO).await;
            wait_until("both sides have seen the end", || traces.all().len() >= 8).await;
        });
    });
    let all = traces.all();
    assert_eq!(all.len(), 8, "no message makes one: {all:?}");
    let outgoing = format!("link server=a@/ remote={listening} direction=\"outgoing\" transport=\"tcp\"");
    assert_eq!(all.iter().filter(|line| **line == outgoing).count(), 1, "{all:?}");
    assert!(all.iter().any(|line| line.contains("direction=\"incoming\"")), "{all:?}");
    for expected in ["record peer=b@/", "record peer=a@/"] {
        assert_eq!(all.iter().filter(|line| *line == expected).count(), 1, "{all:?}");
    }
    assert_eq!(all.iter().filter(|line| *line == "event message=opened").count(), 2, "{all:?}");
    let closed: Vec<_> = all.iter().filter(|line| line.starts_with("event message=closed")).collect();
    assert!(closed.len() == 2 && closed.iter().all(|line| line.contains("reason=")), "{all:?}");
}
