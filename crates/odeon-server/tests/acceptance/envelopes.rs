//! What the envelope of a message says, between two servers.

use odeon_actor::{AskError, Cx, Handle, TryTellError, actor};
use odeon_server::Server;

use crate::support::{Site, at, soon, start, wait_until};

/// What its receiver saw of one message: what it was, its number, what it answers, whether an answer was wanted.
type Seen = (u64, u64, Option<u64>, bool);

/// Writes down what the envelopes say, and answers by messages of its own.
#[derive(Debug, Default)]
struct Reader {
    seen: Vec<Seen>,
}

/// Writes down what the envelopes say, and answers by messages of its own.
#[actor(mark = "reader/1")]
impl Reader {
    /// Writes it down.
    #[handle]
    fn note(&mut self, n: u64, cx: &mut Cx<Self>) -> u64 {
        self.seen.push((n, cx.nonce(), cx.in_reply_to(), cx.wants_reply()));
        n
    }

    /// Tells its sender so, as the answer to this message.
    #[handle]
    async fn say(&mut self, n: u64, cx: &mut Cx<Self>) {
        let writer: Handle<Writer> = cx.sender_handle().expect("an actor sent it");
        writer.hear(n).in_reply_to(cx.nonce()).tell().await.expect("sent");
    }

    /// What was seen.
    #[handle]
    fn seen(&self) -> Vec<Seen> {
        self.seen.clone()
    }

    /// An answer that somebody else wanted.
    #[handle]
    fn answered(&mut self, n: u64, cx: &mut Cx<Self>) {
        self.seen.push((n, cx.nonce(), cx.in_reply_to(), cx.wants_reply()));
    }
}

/// Sends to a reader of another server.
#[derive(Debug)]
struct Writer {
    reader: Handle<Reader>,
    heard: Vec<Seen>,
}

/// Sends to a reader of another server.
#[actor(mark = "writer/1")]
impl Writer {
    /// Tries before there is a link.
    #[handle]
    fn too_early(&mut self) -> bool {
        matches!(self.reader.note(0).try_tell(), Err(TryTellError::NoLink(_)))
    }

    /// Sends in every way, and says the number of the last message.
    #[handle]
    async fn send(&mut self) -> u64 {
        self.reader.note(1).tell().await.expect("sent");
        assert_eq!(self.reader.note(2).tell_with_nonce().await, Ok(1));
        assert_eq!(self.reader.note(3).in_reply_to(700).await, Ok(3));
        self.reader.note(4).in_reply_to(0).try_tell().expect("there is a link");
        self.reader.say(5).tell_with_nonce().await.expect("sent")
    }

    /// Writes it down.
    #[handle]
    fn hear(&mut self, n: u64, cx: &mut Cx<Self>) {
        self.heard.push((n, cx.nonce(), cx.in_reply_to(), cx.wants_reply()));
    }

    /// What was heard.
    #[handle]
    fn heard(&self) -> Vec<Seen> {
        self.heard.clone()
    }

    /// Asks the reader, and has the answer come as a message; the number of the question.
    #[handle]
    async fn ask_by_message(&mut self, n: u64, cx: &mut Cx<Self>) -> u64 {
        let make = |answer: Result<u64, AskError>| WriterHear { n: answer.expect("answered") };
        self.reader.note(n).reply_to(cx.me(), make).await.expect("sent")
    }
}

/// Waits until so many messages have been seen.
async fn wait_many(many: usize, seen: impl AsyncFn() -> Result<Vec<Seen>, AskError>) -> Vec<Seen> {
    let all = async {
        loop {
            let seen = seen().await.expect("answered");
            if seen.len() >= many {
                return seen;
            }
        }
    };
    soon("they have come", all).await
}

async fn two(site: &Site) -> (Server, Server) {
    let reading = start(site.config("b@/").listen(site.unix("b@/"))).await;
    let known = reading.addresses().to_vec();
    let writing = start(site.config("a@/").listen(site.unix("a@/")).known(reading.id().clone(), known)).await;
    (reading, writing)
}

#[tokio::test]
async fn numbers_and_what_is_answered_travel_between_servers() {
    let site = Site::new();
    let (reading, writing) = two(&site).await;
    let reader = reading.spawn_named("reader".parse().expect("a name"), Reader::default()).expect("free");
    let remote = writing.actor(at(reading.id(), "reader"));
    let writer = writing.system().spawn(Writer { reader: remote, heard: Vec::new() });

    assert_eq!(writer.too_early().await, Ok(true));
    wait_until("there is a link", || writing.connections().len() == 1).await;
    let last = writer.send().await.expect("sent");
    let heard = wait_many(1, async || writer.heard().await).await;
    assert_eq!(last, 4, "a message that was not sent has no number");
    // The reader's own first message, which answers the last of the writer's.
    assert_eq!(heard, [(5, 0, Some(last), false)]);
    let expected =
        [(1, 0, None, false), (2, 1, None, false), (3, 2, Some(700), true), (4, 3, Some(0), false)];
    assert_eq!(reader.seen().await.expect("answered"), expected);

    // Code that is no actor is no sender by whose count anybody could go, but may say what it answers.
    let outside = writing.actor::<Reader>(at(reading.id(), "reader"));
    outside.note(7).in_reply_to(9).tell().await.expect("sent");
    outside.note(8).await.expect("answered");
    assert_eq!(reader.seen().await.expect("answered")[4..], [(7, 0, Some(9), false), (8, 0, None, true)]);
}

#[tokio::test]
async fn an_answer_that_goes_to_a_third_actor_names_its_question_between_servers() {
    let site = Site::new();
    let (reading, writing) = two(&site).await;
    let reader = reading.spawn_named("reader".parse().expect("a name"), Reader::default()).expect("free");
    let remote = writing.actor(at(reading.id(), "reader"));
    let writer = writing.system().spawn(Writer { reader: remote, heard: Vec::new() });
    assert_eq!(writer.ask_by_message(6).await, Ok(0));
    assert_eq!(writer.ask_by_message(7).await, Ok(1));
    let mut heard = wait_many(2, async || writer.heard().await).await;
    heard.sort_unstable();
    assert_eq!(
        heard.iter().map(|(n, _, answers, _)| (*n, *answers)).collect::<Vec<_>>(),
        [(6, Some(0)), (7, Some(1))]
    );
    let mut seen = reader.seen().await.expect("answered");
    seen.sort_unstable();
    assert_eq!(seen, [(6, 0, None, true), (7, 1, None, true)], "asked by the writer, by whichever task");

    // The other way round: who is asked is here, and who hears of it is not.
    let near = writing.system().spawn(Reader::default());
    let far = writing.actor::<Reader>(at(reading.id(), "reader"));
    let make = |answer: Result<u64, AskError>| ReaderAnswered { n: answer.expect("answered") };
    let question = near.note(8).reply_to(&far, make).await.expect("sent");
    let seen = wait_many(3, async || reader.seen().await).await;
    assert_eq!(seen[2], (8, 0, Some(question), false), "the first message of the one who was asked");
}
