//! What is kept in memory of acts and of refusals.

use super::*;
use crate::os::OsDisk;

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

fn add(audit: &Audit, number: usize, allowed: bool, path: Option<&str>) {
    let (server, peer, capability) = (id("web-0@/"), id("ann@/"), format!("c{number}"));
    audit.add(Entry {
        unix_ms: 1,
        server: &server,
        peer: &peer,
        peer_epoch: Epoch(1),
        transport: Transport::Tls,
        certificate: None,
        actor: None,
        mark: None,
        capability: &capability,
        path,
        allowed,
        why: String::new(),
        chain: &[],
        so_far: None,
        left_out: None,
    });
}

#[test]
fn refusals_do_not_push_out_what_was_done() {
    let audit = Audit::new(Arc::new(OsDisk), None);
    let acts = 100;
    for number in 0..acts {
        add(&audit, number, true, None);
    }
    for number in 0..10 * RECENT_LINES_MAX {
        add(&audit, number, false, None);
    }
    let is_act = |line: &&String| line.contains("\"allowed\":true");
    let recent = audit.recent(usize::MAX);
    assert_eq!((recent.len(), recent.iter().filter(is_act).count()), (RECENT_LINES_MAX, acts));
    let few = audit.recent(10);
    assert_eq!((few.len(), few.iter().filter(is_act).count()), (10, 5));
    assert!(few[..5].iter().all(|line| is_act(&line)), "in the order in which they were");
    for number in 0..=RECENT_LINES_MAX {
        add(&audit, number, true, None);
    }
    assert_eq!(audit.recent(usize::MAX).iter().filter(is_act).count(), RECENT_LINES_MAX);
    add(&audit, 0, false, None);
    assert!(!is_act(&&audit.recent(1)[0]), "the refusal just now");
    assert_eq!(audit.recent(0), Vec::<String>::new());
}

#[test]
fn a_path_is_written_as_far_as_a_right_can_name_one() {
    let audit = Audit::new(Arc::new(OsDisk), None);
    let longest = "p".repeat(PATH_BYTES_MAX);
    add(&audit, 0, true, Some(&longest));
    // The last letter that fits is not cut in two.
    add(&audit, 0, true, Some(&format!("{}ää", &longest[1..])));
    add(&audit, 0, true, Some(&"q".repeat(1024 * 1024)));
    let recent = audit.recent(3);
    assert!(recent[0].contains(&format!("\"{longest}\"")));
    assert!(recent[1].contains(&format!("\"{}\"", &longest[1..])));
    assert!(recent[2].contains(&format!("\"{}\"", "q".repeat(PATH_BYTES_MAX))));
}
