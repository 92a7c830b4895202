//! Names: from Rust's cases to marks and variants.

/// `SetGreeting` and `set_greeting` → `set-greeting`.
pub(crate) fn kebab(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.trim_start_matches("r#").chars() {
        match c {
            '_' => out.push('-'),
            c if c.is_uppercase() => {
                if !out.is_empty() && !out.ends_with('-') {
                    out.push('-');
                }
                out.extend(c.to_lowercase());
            }
            c => out.push(c),
        }
    }
    out
}

/// `set_greeting` → `SetGreeting`.
pub(crate) fn pascal(name: &str) -> String {
    let words = name.trim_start_matches("r#").split('_').filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether `name` may stand in a mark: a letter a-z, then letters, digits and `-`.
pub(crate) fn is_kebab(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_case() {
        assert_eq!(kebab("SetGreeting"), "set-greeting");
        assert_eq!(kebab("set_greeting"), "set-greeting");
        assert_eq!(pascal("set_greeting"), "SetGreeting");
        assert_eq!(pascal("r#move"), "Move");
    }
}
