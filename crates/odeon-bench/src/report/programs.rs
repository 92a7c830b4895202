//! The table of the Savina programs: one per runtime, programs down, peers across, each figure with its ratio to the
//! best of its row.

use comfy_table::{Cell, CellAlignment, Table};

use crate::{
    figure::{self, Figure, Measure},
    report::table,
    savina::Program,
    workload::Runtime,
};

/// What the figures are; printed above the table.
pub(crate) const TITLE: &str = "Savina programs, mailboxes unbounded for all; lower is better:\n\
                                ns per message; of fork-join-create and skynet, per actor";

/// The table of one runtime; `None` if no program was measured on it.
pub(crate) fn one_runtime(figures: &[Figure], runtime: Runtime) -> Option<Table> {
    let mut peers: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for program in Program::ALL {
        let measured = |one: &&Figure| one.runtime == runtime && one.measure == Measure::Savina(program);
        let row: Vec<&Figure> = figures.iter().filter(measured).collect();
        for one in &row {
            if !peers.contains(&one.peer) {
                peers.push(one.peer);
            }
        }
        if !row.is_empty() {
            rows.push((program, row));
        }
    }
    if rows.is_empty() {
        return None;
    }
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut out = table::ruled();
    let names = peers.iter().map(|&peer| right(peer.to_owned()));
    out.set_header([Cell::new("program")].into_iter().chain(names));
    for (program, row) in rows {
        let cells = peers.iter().map(|&peer| {
            let found = row.iter().find(|one| one.peer == peer);
            right(found.map_or_else(
                || "–".to_owned(),
                |one| {
                    format!("{} {}", figure::readable(one.value), table::times(figure::ratio(one, figures)))
                },
            ))
        });
        out.add_row([Cell::new(program.name())].into_iter().chain(cells));
    }
    table::close_up(&mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{figure::tests::figure, peers::REGISTRY, workload::Workload};

    #[test]
    fn a_row_per_program_and_a_column_per_peer() {
        let all = [
            figure(Measure::Savina(Program::Skynet), "kameo", Runtime::OneThread, 4_000.0),
            figure(Measure::Savina(Program::Count), "odeon", Runtime::OneThread, 50.0),
            figure(Measure::Savina(Program::Count), "kameo", Runtime::OneThread, 150.0),
            figure(Measure::Ask, "kanal", Runtime::OneThread, 150.0),
        ];
        let text = one_runtime(&all, Runtime::OneThread).expect("programs were measured").to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines.contains(&vec!["program", "odeon", "kameo"]), "{text}");
        assert!(lines.contains(&vec!["count", "50.0", "1.0×", "150", "3.0×"]), "{text}");
        assert!(lines.contains(&vec!["skynet", "–", "4,000", "1.0×"]), "{text}");
        assert!(one_runtime(&all, Runtime::TwoWorkers).is_none());
    }

    #[test]
    fn the_widest_table_fits() {
        let workload = Workload::Savina(Program::ForkJoinThroughput);
        let all: Vec<Figure> = REGISTRY
            .iter()
            .filter(|row| row.does(workload))
            .map(|row| figure(Measure::of(workload)[0], row.name, Runtime::OneThread, 19_999.0))
            .collect();
        let text = one_runtime(&all, Runtime::OneThread).expect("programs were measured").to_string();
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= table::COLUMNS_MAX, "{line}");
        }
    }
}
