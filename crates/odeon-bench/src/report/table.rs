//! The tables on the terminal: for each runtime one with peers down and measures across, each figure with its ratio
//! to the best, and one of the Savina programs.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};

use crate::{
    drive::BATCH,
    figure::{self, Figure, Measure, Unit},
    machine::Machine,
    report::programs,
    workload::Runtime,
};

/// The width that the tables promise to fit.
#[cfg(test)]
pub(crate) const COLUMNS_MAX: usize = 112;

/// A rule above, below and under the header; the rows are few enough to do without.
const RULES: TableStyle = TableStyle::new().top_border(RULE).header_separator(RULE).bottom_border(RULE);
const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

/// Renders the tables, what they mean, and the machine.
pub(crate) fn render(figures: &[Figure], machine: &Machine) -> String {
    let mut runtimes: Vec<Runtime> = figures.iter().map(|one| one.runtime).collect();
    runtimes.sort_unstable();
    runtimes.dedup();
    let mut text = String::new();
    for runtime in runtimes {
        if let Some(table) = one_runtime(figures, runtime) {
            push(&mut text, runtime.label(), &table);
        }
        if let Some(table) = programs::one_runtime(figures, runtime) {
            push(&mut text, &format!("{}: {}", runtime.label(), programs::TITLE), &table);
        }
    }
    text.push_str("Median of the repetitions; × is how many times worse than the best");
    text.push_str(" of the column, or of the row of a program.\n");
    if figures.iter().any(|one| one.p99.is_some()) {
        let note = "where there is none, only the end of the run is acknowledged";
        text.push_str(&format!("p99 is over batches of {BATCH}; {note}.\n"));
    }
    text.push_str(&machine.to_string());
    text
}

pub(crate) fn push(text: &mut String, title: &str, table: &Table) {
    text.push_str(title);
    text.push('\n');
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
}

/// The table of everything but the programs; `None` if nothing of it was measured.
fn one_runtime(figures: &[Figure], runtime: Runtime) -> Option<Table> {
    let basic = |one: &&Figure| {
        one.runtime == runtime
            && !matches!(one.measure, Measure::Savina(_) | Measure::Remote(_) | Measure::RemoteEnd(..))
    };
    let here: Vec<&Figure> = figures.iter().filter(basic).collect();
    let mut measures: Vec<Measure> = here.iter().map(|one| one.measure).collect();
    measures.sort_unstable();
    measures.dedup();
    let mut peers: Vec<&Figure> = Vec::new();
    for one in &here {
        if peers.iter().all(|known| known.peer != one.peer) {
            peers.push(one);
        }
    }

    if here.is_empty() {
        return None;
    }
    let mut table = ruled();
    table.set_header(measures.iter().fold(vec![Cell::new("")], |mut cells, &measure| {
        cells.extend(headers(measure));
        cells
    }));
    for peer in peers {
        let mut cells = vec![Cell::new(&peer.label)];
        for &measure in &measures {
            let found = here.iter().find(|one| one.peer == peer.peer && one.measure == measure);
            cells.extend(values(measure, found.copied(), figures));
        }
        table.add_row(cells);
    }
    close_up(&mut table);
    Some(table)
}

/// An empty table with the rules of the house.
pub(crate) fn ruled() -> Table {
    let mut table = Table::new();
    table.load_style(RULES);
    table
}

/// Takes out the space left of the columns.
pub(crate) fn close_up(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
}

/// Only an ask's tail is worth a column of its own; the JSON has the others.
fn has_tail(measure: Measure) -> bool {
    measure == Measure::Ask
}

fn headers(measure: Measure) -> Vec<Cell> {
    let (unit, _) = measure.unit().scaled();
    let (title, unit) = match measure {
        Measure::Ring => ("ring".into(), "ns/hop"),
        Measure::SpawnMemory => ("idle".into(), "B/actor"),
        other => (other.name(), unit),
    };
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut cells = vec![right(format!("{title}\n{unit}"))];
    if has_tail(measure) {
        cells.push(right("p99\nns".to_owned()));
    }
    cells
}

fn values(measure: Measure, figure: Option<&Figure>, all: &[Figure]) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let value = figure.map_or_else(
        || "–".to_owned(),
        |one| {
            let (_, scale) = one.unit.scaled();
            format!("{} {}", figure::readable(one.value / scale), times(figure::ratio(one, all)))
        },
    );
    let mut cells = vec![right(value)];
    if has_tail(measure) {
        let tail = figure.and_then(|one| one.p99).map(|p99| p99 / Unit::Nanoseconds.scaled().1);
        cells.push(right(tail.map_or_else(|| "–".to_owned(), figure::readable)));
    }
    cells
}

/// A ratio as people read it.
pub(crate) fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::figure;

    #[test]
    fn the_best_is_one_and_the_rest_are_multiples() {
        let all = [
            figure(Measure::Ask, "ractor", Runtime::OneThread, 446.0),
            figure(Measure::Ask, "kanal", Runtime::OneThread, 223.0),
            figure(Measure::Tell, "ractor", Runtime::OneThread, 2.4e6),
        ];
        let text = render(&all, &Machine::read());
        let line = |start: &str| text.lines().find(|line| line.trim().starts_with(start)).expect("a row");
        assert!(line("ractor (unbounded)").contains("446 2.0×"), "{text}");
        assert!(line("ractor (unbounded)").contains("2.40 1.0×"), "{text}");
        assert!(line("kanal").contains("223 1.0×"), "{text}");
        assert!(line("kanal").ends_with('–'), "{text}");
    }

    #[test]
    fn each_runtime_has_a_table() {
        let all = [
            figure(Measure::Ring, "kameo", Runtime::TwoWorkers, 1_216.0),
            figure(Measure::Ring, "kameo", Runtime::OneThread, 541.0),
        ];
        let text = render(&all, &Machine::read());
        let place = |label: &str| text.find(label).expect("a title");
        assert!(place("1 thread\n") < place("2 workers\n"), "{text}");
    }

    #[test]
    fn the_widest_table_fits() {
        let all: Vec<Figure> = [
            (Measure::Ask, 29_999.0),
            (Measure::Tell, 19.99e6),
            (Measure::FanIn, 19.99e6),
            (Measure::FanOut, 19.99e6),
            (Measure::Ring, 29_999.0),
            (Measure::Spawn, 1_999e3),
            (Measure::SpawnMemory, 29_999.0),
        ]
        .into_iter()
        .map(|(measure, value)| {
            let mut one = figure(measure, "ractor", Runtime::OneThread, value);
            one.p99 = Some(99_999.0);
            one
        })
        .collect();
        let text = one_runtime(&all, Runtime::OneThread).expect("all was measured").to_string();
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= COLUMNS_MAX, "{line}");
        }
    }

    #[test]
    fn large_ratios_lose_their_tenths() {
        for (ratio, text) in [(1.0, "1.0×"), (9.94, "9.9×"), (9.96, "10×"), (123.4, "123×")] {
            assert_eq!(times(ratio), text);
        }
    }
}
