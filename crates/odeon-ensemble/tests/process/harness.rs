//! A test runner in the standard one's manner, for a binary that needs its own `main`.

use std::io::{Write as _, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// No test needs a tenth of this; a hang becomes a failure.
const TEST_MAX: Duration = Duration::from_secs(60);

/// A named test.
pub(crate) struct Test {
    name: &'static str,
    start: Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>,
}

/// The test `name`.
pub(crate) fn test<F: Future<Output = ()> + 'static>(
    name: &'static str,
    start: impl Fn() -> F + 'static,
) -> Test {
    Test { name, start: Box::new(move || Box::pin(start())) }
}

/// Runs the tests that the command line selects.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        for test in tests {
            say(&format!("{}: test", test.name));
        }
        return ExitCode::SUCCESS;
    }
    let exact = args.iter().any(|arg| arg == "--exact");
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if exact { name == *filter } else { name.contains(*filter) })
    };
    let (mut passed, mut failed) = (0, 0);
    for test in tests.iter().filter(|test| chosen(test.name)) {
        let began = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(|| run_one(test))).is_ok();
        say(&format!(
            "test {} ... {} ({:.1?})",
            test.name,
            if ok { "ok" } else { "FAILED" },
            began.elapsed()
        ));
        if ok { passed += 1 } else { failed += 1 }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let left_out = tests.len() - passed - failed;
    say(&format!("\ntest result: {word}. {passed} passed; {failed} failed; {left_out} filtered out\n"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line.
pub(crate) fn say(text: &str) {
    writeln!(stdout(), "{text}").expect("standard output is there");
}

/// Waits until `condition` holds; fails after ten seconds, naming `what`.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn run_one(test: &Test) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async { tokio::time::timeout(TEST_MAX, (test.start)()).await });
    outcome.expect("the test ends in time");
}
