//! Actors to test with.

use odeon_actor::{Cx, Reply, actor};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Answers, or not, in every way.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    held: Vec<Reply<u32>>,
    said: u64,
}

/// Answers, or not, in every way.
#[actor(mark = "echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&mut self, text: String) -> String {
        self.said += 1;
        text
    }

    /// How often it was said.
    #[handle]
    fn said(&self) -> u64 {
        self.said
    }

    /// Answers nobody.
    #[handle]
    fn hold(&mut self, reply: Reply<u32>) {
        self.held.push(reply);
    }

    /// Answers nobody until there are `many` to answer: then each with its place among them.
    #[handle]
    fn gather(&mut self, many: u32, reply: Reply<u32>) {
        self.held.push(reply);
        if u32::try_from(self.held.len()) == Ok(many) {
            for (place, reply) in (0..).zip(self.held.drain(..)) {
                reply.send(place);
            }
        }
    }

    /// So many bytes.
    #[handle]
    fn blob(&self, bytes: u32) -> String {
        "x".repeat(usize::try_from(bytes).unwrap_or_default())
    }

    /// Waits that long before it answers.
    #[handle]
    async fn wait_millis(&self, millis: u64) -> u64 {
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        millis
    }

    /// Takes something that cannot be read without a panic.
    #[handle]
    fn swallow(&self, bait: Bait) -> bool {
        bait.0
    }
}

/// Its reader has a defect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Bait(pub(crate) bool);

impl<'de> Deserialize<'de> for Bait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_good = bool::deserialize(deserializer)?;
        assert!(is_good, "a defect in a reader");
        Ok(Self(is_good))
    }
}

/// Writes down what it is told, in order.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    heard: Vec<(String, u64)>,
}

/// Writes down what it is told, in order.
#[actor(mark = "recorder/1")]
impl Recorder {
    /// Writes it down, with the server it came from.
    #[handle]
    fn hear(&mut self, n: u64, cx: &mut Cx<Self>) {
        let from = cx.sender().server().map_or_else(String::new, ToString::to_string);
        self.heard.push((from, n));
    }

    /// What was heard from one server.
    #[handle]
    fn heard_from(&self, server: String) -> Vec<u64> {
        self.heard.iter().filter(|(from, _)| *from == server).map(|(_, n)| *n).collect()
    }
}

/// Writes down what it is told, in order, as often as it is let.
#[derive(Debug)]
pub(crate) struct Gate {
    heard: Vec<u64>,
    passes: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Gate {
    /// Each message takes one of the passes.
    pub(crate) const fn new(passes: std::sync::Arc<tokio::sync::Semaphore>) -> Self {
        Self { heard: Vec::new(), passes }
    }
}

/// Writes down what it is told, in order, as often as it is let.
#[actor(mark = "gate/1")]
impl Gate {
    /// Writes it down once there is a pass.
    #[handle]
    async fn hear(&mut self, n: u64) {
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
            self.heard.push(n);
        }
    }

    /// What was heard.
    #[handle]
    fn heard(&self) -> Vec<u64> {
        self.heard.clone()
    }
}
