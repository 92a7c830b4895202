//! Words that have no place in the repository: paths of one machine, unfinished work, silenced lints.
//!
//! The words stand in `xtask/data/banned-words.txt`, the one file this check does not read.

use crate::finding::Finding;
use crate::source::{line_of, without_strings};
use crate::tree::Tree;

const LIST: &str = include_str!("../../data/banned-words.txt");
const LIST_PATH: &str = "xtask/data/banned-words.txt";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let words: Vec<Word> = LIST.lines().filter_map(Word::parse).collect();
    tree.texts()
        .filter(|(path, _)| *path != LIST_PATH)
        .flat_map(|(path, text)| check_text(&words, path, text))
        .collect()
}

struct Word {
    in_strings: bool,
    pattern: &'static str,
    fix: &'static str,
}

impl Word {
    /// Reads one line of the list; comments and blank lines are none.
    fn parse(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let in_strings = match fields.next()? {
            "text" => true,
            "code" => false,
            _ => return None,
        };
        Some(Self { in_strings, pattern: fields.next()?, fix: fields.next()? })
    }

    /// Where the word stands in the text.
    fn find_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let (head, tail) = self.pattern.split_once('*').unwrap_or((self.pattern, ""));
        text.match_indices(head).map(|(offset, _)| offset).filter(move |offset| {
            let after = &text[offset + head.len()..];
            let name = after.len() - after.trim_start_matches(is_name).len();
            let tail_fits = tail.is_empty() || (name > 0 && after[name..].starts_with(tail));
            tail_fits && !(head.starts_with('/') && is_inside_path(&text[..*offset]))
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Whether a slash here goes on with a path and does not start one.
fn is_inside_path(before: &str) -> bool {
    before.ends_with(|c| is_name(c) || matches!(c, '~' | '}' | ')' | '>' | '/'))
}

fn check_text(words: &[Word], path: &str, text: &str) -> Vec<Finding> {
    let outside_strings = if path.ends_with(".rs") { without_strings(text) } else { text.to_owned() };
    let mut findings = Vec::new();
    for word in words {
        let searched = if word.in_strings { text } else { &outside_strings };
        for offset in word.find_in(searched) {
            let what = format!("contains `{}`", word.pattern);
            findings.push(Finding::new("words", path, line_of(text, offset), what, word.fix));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<Word> {
        LIST.lines().filter_map(Word::parse).collect()
    }

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn every_word_of_the_list_is_found_and_says_what_to_do() {
        assert!(words().len() >= 16);
        for word in words() {
            let text = format!("fn a() {{}}\n {}x\n", word.pattern.replace('*', "somebody"));
            let findings = check_text(&words(), "a.rs", &text);
            assert_eq!(findings.len(), 1, "{}", word.pattern);
            assert_eq!(findings[0].line, 2);
            assert!(!findings[0].fix.is_empty());
        }
    }

    #[test]
    fn words_of_code_are_free_in_strings_and_words_of_text_are_not() {
        for word in words() {
            let text = format!("\"{}\"", word.pattern.replace('*', "somebody"));
            assert_eq!(check_text(&words(), "a.rs", &text).len(), usize::from(word.in_strings));
            assert_eq!(check_text(&words(), "a.md", &text).len(), 1);
        }
    }

    #[test]
    fn a_path_from_the_root_of_the_repository_is_no_absolute_path() {
        for text in ["target/work/a", "~/root/b", "{dir}/farm/c", "/home/", "/home/ /", "a/home/b/c"] {
            assert_eq!(count("a.md", text), 0, "{text}");
        }
    }

    #[test]
    fn the_list_itself_is_not_read() {
        assert_eq!(check(&Tree::of(&[(LIST_PATH, LIST)])), []);
    }
}
