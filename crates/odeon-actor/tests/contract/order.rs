//! x
use crate::support::*;
#[tokio::test(start_paused = true)]
async fn a() {
    let system = odeon::System::new();
    let w = system.spawn(Worker::default());
    assert_eq!(w.note(4).await, Ok(4));
}
