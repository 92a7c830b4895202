//! What commands print: tables that fit the terminal, or JSON.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Widest table where the width is unknown: a pipe, a file.
const WIDTH_UNKNOWN: u16 = 200;

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

/// A table with a heading, columns two spaces apart, no borders; `empty` if there are no rows.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width());
    table.set_header(heading);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn width() -> u16 {
    if !std::io::stdout().is_terminal() {
        return WIDTH_UNKNOWN;
    }
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(WIDTH_UNKNOWN, |size| size.ws_col.max(40))
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
        assert_eq!(table(["ID", "N"], rows, "none"), "ID     N\nweb-0  1\na      22");
        assert_eq!(table(["ID"], vec![], "no servers"), "no servers");
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
