//! What commands print: tables that fit the terminal, or JSON.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// Narrowest line worth cutting for: a terminal that claims less is not one that people read.
const WIDTH_MIN: usize = 40;

/// Where a command's data goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints data as one JSON document, or as `show` writes it.
    pub(crate) fn data<T: Serialize>(self, value: &T, show: impl FnOnce(&T) -> String) {
        if self.json {
            line(&serde_json::to_string_pretty(value).unwrap_or_default());
        } else {
            let text = show(value);
            if !text.is_empty() {
                line(&text);
            }
        }
    }

    /// Prints one event: a line of JSON, or a line of text.
    pub(crate) fn event<T: Serialize>(self, value: &T, show: impl FnOnce(&T) -> String) {
        if self.json { line(&serde_json::to_string(value).unwrap_or_default()) } else { line(&show(value)) }
    }

    /// Prints progress: to standard error, and not at all with `--json`.
    pub(crate) fn progress(self, text: &str) {
        if !self.json {
            // Nobody reads any longer: the work goes on.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// One line on standard output. A closed pipe is no error: `odeon logs x | head` ends quietly.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A table with a heading, columns two spaces apart, no borders; `empty` if there are no rows. A line that does not
/// fit `width` characters is cut, since a wrapped one is no row any longer; `--json` has everything.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: Vec<[String; N]>,
    empty: &str,
    width: usize,
) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let lines: Vec<[String; N]> = std::iter::once(heading.map(ToOwned::to_owned)).chain(rows).collect();
    let wide = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(wide);
    let show = |line: &[String; N]| {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cut(cells.join("  ").trim_end(), width)
    };
    lines.iter().map(show).collect::<Vec<_>>().join("\n")
}

/// `text` if it fits, else as much of it as does, with a sign that something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// How wide a line may be: the terminal's width; without a terminal, as wide as it is.
pub(crate) fn terminal_width() -> usize {
    if !std::io::stdout().is_terminal() {
        return usize::MAX;
    }
    rustix::termios::tcgetwinsize(std::io::stdout())
        .map_or(usize::MAX, |size| usize::from(size.ws_col).max(WIDTH_MIN))
}

/// `3d 4h`, `2m 5s`, `1.2s`, `80ms`: two units at most.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{}.{}s", s, ms % 1_000 / 100),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_an_empty_table_says_so() {
        let rows = vec![["web-0".to_owned(), "1".to_owned()], ["a".to_owned(), "22".to_owned()]];
        let wide = table(["ID", "N"], rows.clone(), "none", usize::MAX);
        assert_eq!(wide, "ID     N\nweb-0  1\na      22");
        assert_eq!(table(["ID", "N"], rows.clone(), "none", 9), wide, "it fits");
        assert_eq!(table(["ID", "N"], rows, "none", 8), "ID     N\nweb-0  1\na      …", "one too many");
        assert_eq!(table(["ID"], vec![], "no servers", 80), "no servers");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (ms, text) in
            [(80, "80ms"), (1_250, "1.2s"), (125_000, "2m 5s"), (7_260_000, "2h 1m"), (273_600_000, "3d 4h")]
        {
            assert_eq!(duration(ms), text);
        }
    }
}
