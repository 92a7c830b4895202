//! Just enough of Rust's lexical grammar to tell code from comments and strings.
//!
//! Checks look for words, and a word in a string or a comment is another matter than the same word
//! in code. Masks keep the length and the lines of the text: what is left out becomes blanks, so a
//! position in the mask is the same position in the file.

/// The text with the insides of strings and characters blanked.
pub(crate) fn without_strings(text: &str) -> String {
    mask(text, false)
}

/// The text with comments and the insides of strings and characters blanked.
pub(crate) fn code_only(text: &str) -> String {
    mask(text, true)
}

/// The line, from 1, on which the byte at this offset stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The offset just past the bracket that closes the one at `open`, or the end of the code.
pub(crate) fn end_of_block(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Every `fn` of the code: where its name starts, the name, and whether an attribute makes it a test.
pub(crate) fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("fn ") {
        if code[..offset].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let after = &code[offset + 3..];
        let length = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
        if length > 0 && after[length..].starts_with(['(', '<']) {
            let prelude_start = code[..offset].rfind(['{', '}', ';']).map_or(0, |end| end + 1);
            let prelude = &code[prelude_start..offset];
            let is_test =
                ["#[test]", "::test]", "::test("].iter().any(|attribute| prelude.contains(attribute));
            found.push(Function { offset, name: &after[..length], is_test });
        }
    }
    found
}

/// A function found by [`functions`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) offset: usize,
    pub(crate) name: &'a str,
    pub(crate) is_test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

fn mask(text: &str, comments_too: bool) -> String {
    let bytes = text.as_bytes();
    let mut masked = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (part, end) = next_part(bytes, at);
        let blank = part == Part::Literal || (comments_too && part == Part::Comment);
        masked.extend(bytes[at..end].iter().map(|byte| if blank && *byte != b'\n' { b' ' } else { *byte }));
        at = end;
    }
    String::from_utf8_lossy(&masked).into_owned()
}

/// The part that starts at `at`, and where it ends. Code is handed out byte by byte.
fn next_part(bytes: &[u8], at: usize) -> (Part, usize) {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (Part::Comment, at + length);
    }
    if rest.starts_with(b"/*") {
        return (Part::Comment, at + block_comment_length(rest));
    }
    if !in_word && let Some(length) = raw_string_length(rest) {
        return (Part::Literal, at + length);
    }
    match rest[0] {
        b'"' => (Part::Literal, at + quoted_length(rest, b'"')),
        b'\'' if is_character(rest) => (Part::Literal, at + quoted_length(rest, b'\'')),
        _ => (Part::Code, at + 1),
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"`, if one starts here.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let prefix = match rest {
        [b'b' | b'c', b'r', ..] => 2,
        [b'r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let length = rest[open + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(rest.len(), |length| open + 1 + length + close.len()))
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether the quote starts a character and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(first) => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            rest.get(1 + width) == Some(&b'\'')
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_characters_are_blanked_and_lifetimes_are_not() {
        for (text, code) in [
            (r#"a("x\"y", 'z')"#, ["a(", ",", ")"].as_slice()),
            (r##"r#"a"b"# c"##, &["c"]),
            (r#"b"x" br"y" f"#, &["b", "f"]),
            ("fn f<'a>(x: &'a str)", &["fn", "f<'a>(x:", "&'a", "str)"]),
            (r"'\'' + '\u{41}' + 'ä'", &["+", "+"]),
            ("x // y\nz", &["x", "z"]),
            ("a /* b /* c */ d */ e", &["a", "e"]),
            ("\"open\nend", &[]),
        ] {
            let masked = code_only(text);
            assert_eq!(masked.len(), text.len(), "{text}");
            assert_eq!(masked.lines().count(), text.lines().count(), "{text}");
            assert_eq!(masked.split_whitespace().collect::<Vec<_>>(), code, "{text}");
        }
    }

    #[test]
    fn comments_stay_where_only_strings_go() {
        assert_eq!(without_strings("f(\"x\") // \"note\""), "f(   ) // \"note\"");
    }

    #[test]
    fn a_block_ends_with_its_own_bracket() {
        let code = "mod a { fn b() {} } c";
        assert_eq!(&code[6..end_of_block(code, 6)], "{ fn b() {} }");
        assert_eq!(end_of_block("f(", 1), 2);
    }

    #[test]
    fn functions_know_whether_they_are_tests() {
        let code = "#[test]\n#[ignore]\nfn a() {}\nfn b<T>() {}\n#[tokio::test(start_paused = true)]\nasync fn c() {} f: fn (u8)";
        let found: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.is_test)).collect();
        assert_eq!(found, [("a", true), ("b", false), ("c", true)]);
    }
}
