//! Tests wait for a condition with a deadline; they do not sleep and hope.
//!
//! Two sleeps are honest: in virtual time (the file says `start_paused`), and between two looks at a
//! condition, in a function whose name says that it waits.

use std::ops::Range;

use crate::finding::Finding;
use crate::source::{code_only, end_of_block, functions, line_of};
use crate::tree::Tree;

/// How the name of a function that looks at a condition again and again begins.
const WAITING: [&str; 4] = ["wait", "until", "eventually", "poll"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs").flat_map(|(path, text)| check_text(path, text)).collect()
}

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text);
    let tests = test_ranges(path, &code);
    let functions = functions(&code);
    let virtual_time = code.contains("start_paused");
    let mut findings = Vec::new();
    for (offset, call) in code.match_indices("sleep(") {
        let before = &code[..offset];
        let on_a_thread = before.ends_with("thread::");
        let is_a_call = on_a_thread || before.ends_with("time::") || before.ends_with(char::is_whitespace);
        if !is_a_call || before.ends_with("fn ") || !tests.iter().any(|range| range.contains(&offset)) {
            continue;
        }
        let owner =
            functions.iter().rfind(|function| function.offset < offset).map_or("", |owner| owner.name);
        let waits = WAITING.iter().any(|start| owner.starts_with(start));
        if !waits && (on_a_thread || !virtual_time) {
            let fix =
                format!("wait for a condition with a deadline, in a function named `{}_..`", WAITING[0]);
            let what = format!("a test sleeps (`{call}..)` in `{owner}`)");
            findings.push(Finding::new("sleeps", path, line_of(text, offset), what, fix));
        }
    }
    findings
}

/// The parts of the file that are built for tests only.
fn test_ranges(path: &str, code: &str) -> Vec<Range<usize>> {
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return std::iter::once(0..code.len()).collect();
    }
    code.match_indices("#[cfg(test)]")
        .filter_map(|(start, _)| {
            let open = start + code[start..].find('{')?;
            let in_between = &code[start..open];
            (in_between.contains("mod ") && !in_between.contains(';'))
                .then(|| start..end_of_block(code, open))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: &str = "fn a() { std::thread::sleep(D); }";
    const TOKIO: &str = "async fn a() { tokio::time::sleep(D).await; }";

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        for body in [THREAD, TOKIO, "async fn a() { sleep(D).await }"] {
            assert_eq!(count("crates/a/tests/t.rs", body), 1, "{body}");
            assert_eq!(count("crates/a/src/x/tests.rs", body), 1, "{body}");
            let inside = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{ {body} }}");
            assert_eq!(count("crates/a/src/x.rs", &inside), 1, "{body}");
        }
    }

    #[test]
    fn code_outside_tests_may_sleep() {
        assert_eq!(count("crates/a/src/x.rs", THREAD), 0);
        assert_eq!(count("crates/a/src/x.rs", &format!("#[cfg(test)]\nmod tests {{ }}\n{THREAD}")), 0);
        assert_eq!(count("crates/a/src/x.rs", &format!("#[cfg(test)]\nmod tests;\n{THREAD}")), 0);
    }

    #[test]
    fn virtual_time_and_a_function_that_waits_are_honest() {
        let paused = format!("#[tokio::test(start_paused = true)]\n{TOKIO}");
        assert_eq!(count("crates/a/tests/t.rs", &paused), 0);
        assert_eq!(count("crates/a/tests/t.rs", &paused.replace(TOKIO, THREAD)), 1);
        assert_eq!(count("crates/a/tests/t.rs", &THREAD.replace("fn a", "fn wait_for")), 0);
        assert_eq!(count("crates/a/tests/t.rs", "fn sleep(d: u8) {} fn b() { x.sleep(1); asleep(2); }"), 0);
    }
}
