//! What travels can be written and read.

extern crate odeon_actor as odeon;

use odeon::actor;

struct Line {
    text: String,
}

struct Log(Vec<Line>);

#[actor(mark = "log/1")]
impl Log {
    #[handle]
    fn note(&mut self, line: Line) -> usize {
        self.0.push(line);
        self.0.iter().map(|line| line.text.len()).sum()
    }
}

fn main() {}
