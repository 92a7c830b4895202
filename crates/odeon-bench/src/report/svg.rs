//! The figures as a picture: one panel per measure and runtime, the best bar on top.
//!
//! Written by hand as text: rectangles and labels need no library. The colours are classes, so that a page in a
//! dark theme gets dark panels; every bar carries its value, so that colour is never the only sign.

use std::fmt::Write as _;

use crate::{
    figure::{self, Better, Figure, Measure},
    machine::Machine,
    peers::Kind,
    report::remote,
    workload::Runtime,
};

const PANEL_WIDTH: usize = 470;
const PANEL_HEAD: usize = 46;
const PANEL_GAP: usize = 28;
const BAR_PITCH: usize = 24;
const BAR_HEIGHT: usize = 16;
/// Room for the longest name, `tokio-mpsc` or `ractor (unbounded)`, left of the bars.
const LABEL_WIDTH: usize = 148;
/// Room for the longest value right of the longest bar.
const VALUE_WIDTH: usize = 96;
const MARGIN: usize = 24;
const HEAD: usize = 74;
const FOOT: usize = 44;
const COLUMNS: usize = 2;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:13px;fill:#1f2328}
.page{fill:#ffffff}.h1{font-size:18px;font-weight:600}.h2{font-size:14px;font-weight:600}.dim{fill:#59636e}
.value{font-size:12px}.end{text-anchor:end}.axis{stroke:#d1d9e0}
.odeon{fill:#d9480f}.actors{fill:#57738f}.limit{fill:#b8c4d0}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.dim{fill:#9198a1}.axis{stroke:#3d444d}
.odeon{fill:#ff8a4c}.actors{fill:#7f9cba}.limit{fill:#48566a}}";

/// Renders the picture.
pub(crate) fn render(figures: &[Figure], machine: &Machine) -> String {
    let panels = panels(figures);
    let rows: Vec<&[Vec<&Figure>]> = panels.chunks(COLUMNS).collect();
    let columns = panels.len().clamp(1, COLUMNS);
    let width = 2 * MARGIN + columns * PANEL_WIDTH + (columns - 1) * PANEL_GAP;
    let height = HEAD + rows.iter().map(|row| row_height(row) + PANEL_GAP).sum::<usize>() + FOOT;
    let mut body = String::new();
    let mut top = HEAD;
    for row in &rows {
        for (column, bars) in row.iter().enumerate() {
            panel(&mut body, MARGIN + column * (PANEL_WIDTH + PANEL_GAP), top, bars);
        }
        top += row_height(row) + PANEL_GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title desc\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title id=\"title\">Odeon beside its peers</title>\n\
         <desc id=\"desc\">{}</desc>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"h1\" x=\"{MARGIN}\" y=\"34\">Odeon beside its peers</text>\n\
         {}{body}<text class=\"dim value\" x=\"{MARGIN}\" y=\"{}\">Medians of one run. {}</text>\n</svg>\n",
        escape(&description(&panels)),
        legend(figures),
        height - MARGIN,
        escape(&machine.to_string()),
    )
}

/// The figures of each measure and runtime, best first; a measure's runtimes stand side by side.
fn panels(figures: &[Figure]) -> Vec<Vec<&Figure>> {
    let mut keys: Vec<(Measure, Runtime)> = figures.iter().map(|one| (one.measure, one.runtime)).collect();
    keys.sort_unstable();
    keys.dedup();
    let sorted = |(measure, runtime)| {
        let mut bars: Vec<&Figure> =
            figures.iter().filter(|one| (one.measure, one.runtime) == (measure, runtime)).collect();
        bars.sort_by(|left, right| match left.better {
            Better::Lower => left.value.total_cmp(&right.value),
            Better::Higher => right.value.total_cmp(&left.value),
        });
        bars
    };
    keys.into_iter().map(sorted).collect()
}

fn row_height(row: &[Vec<&Figure>]) -> usize {
    PANEL_HEAD + row.iter().map(Vec::len).max().unwrap_or(0) * BAR_PITCH
}

fn panel(out: &mut String, left: usize, top: usize, bars: &[&Figure]) {
    let Some(first) = bars.first() else { return };
    let better = match first.better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
    };
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let room = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH) as f64;
    let axis = left + LABEL_WIDTH;
    element(
        out,
        format_args!(
            "<text class=\"h2\" x=\"{left}\" y=\"{}\">{}, {}</text>",
            top + 14,
            title(first.measure),
            first.runtime.label()
        ),
    );
    element(out, format_args!("<text class=\"dim value\" x=\"{left}\" y=\"{}\">{better}</text>", top + 31));
    for (index, bar) in bars.iter().enumerate() {
        let y = top + PANEL_HEAD + index * BAR_PITCH;
        let length = (bar.value / most * room).max(1.0);
        let (unit, scale) = bar.unit.scaled();
        let base = y + 13;
        element(
            out,
            format_args!("<text class=\"end\" x=\"{}\" y=\"{base}\">{}</text>", axis - 8, escape(&bar.label)),
        );
        element(
            out,
            format_args!(
                "<rect class=\"{}\" x=\"{axis}\" y=\"{y}\" width=\"{length:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
                class(bar.kind)
            ),
        );
        element(
            out,
            format_args!(
                "<text class=\"value\" x=\"{:.1}\" y=\"{base}\">{} {unit}</text>",
                axis as f64 + length + 6.0,
                figure::readable(bar.value / scale)
            ),
        );
    }
    let bottom = top + PANEL_HEAD + bars.len() * BAR_PITCH - (BAR_PITCH - BAR_HEIGHT);
    element(
        out,
        format_args!(
            "<line class=\"axis\" x1=\"{axis}\" y1=\"{}\" x2=\"{axis}\" y2=\"{}\"/>",
            top + PANEL_HEAD - 4,
            bottom + 4
        ),
    );
}

/// The colours in use and what they stand for.
fn legend(figures: &[Figure]) -> String {
    let mut out = String::new();
    let mut left = MARGIN;
    for (kind, name, width) in [
        (Kind::Odeon, "Odeon", 80),
        (Kind::Actors, "other actor libraries", 168),
        (Kind::Limit, "bare channel or socket between two tasks (the limit)", 360),
    ] {
        if figures.iter().any(|one| one.kind == kind) {
            let class = class(kind);
            element(
                &mut out,
                format_args!(
                    "<rect class=\"{class}\" x=\"{left}\" y=\"47\" width=\"12\" height=\"12\" rx=\"2\"/>\n\
                     <text class=\"dim value\" x=\"{}\" y=\"57\">{name}</text>",
                    left + 18
                ),
            );
            left += width;
        }
    }
    out
}

fn title(measure: Measure) -> String {
    let text = match measure {
        Measure::Ask => "Ask and answer",
        Measure::Tell => "Tell, 1 producer to 1 actor",
        Measure::FanIn => "Tell, 8 producers to 1 actor",
        Measure::FanOut => "Publish, 1 producer to 10,000 actors",
        Measure::Ring => "One hop in a ring of 1,000",
        Measure::Spawn => "Spawn and first answer",
        Measure::SpawnMemory => "Memory of an idle actor",
        Measure::Remote(point) | Measure::RemoteEnd(point, _) => return remote::title(point),
        Measure::Savina(program) => return format!("{}, one {}", program.name(), program.counted()),
    };
    text.to_owned()
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Odeon => "odeon",
        Kind::Actors => "actors",
        Kind::Limit => "limit",
    }
}

/// The winners in words, for those who do not see the picture.
fn description(panels: &[Vec<&Figure>]) -> String {
    let winners = panels.iter().filter_map(|bars| bars.first()).map(|best| {
        let (unit, scale) = best.unit.scaled();
        let value = figure::readable(best.value / scale);
        format!(
            "{}, {}: best is {} with {value} {unit}.",
            title(best.measure),
            best.runtime.label(),
            best.label
        )
    });
    winners.collect::<Vec<_>>().join(" ")
}

fn element(out: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{element}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::figure;

    fn picture() -> String {
        let all = [
            figure(Measure::Ask, "ractor", Runtime::OneThread, 446.0),
            figure(Measure::Ask, "kanal", Runtime::OneThread, 223.0),
            figure(Measure::Tell, "ractor", Runtime::OneThread, 2.4e6),
            figure(Measure::Tell, "kanal", Runtime::OneThread, 9.6e6),
            figure(Measure::Ask, "kanal", Runtime::TwoWorkers, 467.0),
        ];
        render(&all, &Machine::read())
    }

    #[test]
    fn a_panel_per_measure_and_runtime_a_bar_per_peer() {
        let text = picture();
        assert_eq!(text.matches("class=\"h2\"").count(), 3);
        assert_eq!(text.matches("class=\"axis\"").count(), 3);
        // Two of each kind in the panels and one in the legend.
        assert_eq!(text.matches("<rect class=\"actors\"").count(), 3);
        assert_eq!(text.matches("<rect class=\"limit\"").count(), 4);
        assert!(text.contains(">446 ns</text>") && text.contains(">2.40 M msg/s</text>"), "{text}");
        assert!(text.contains(">ractor (unbounded)</text>"), "{text}");
    }

    #[test]
    fn the_best_bar_is_on_top_and_lengths_are_in_proportion() {
        let text = picture();
        let place = |value: &str| text.find(value).unwrap_or_else(|| panic!("no {value} in {text}"));
        assert!(place(">223 ns<") < place(">446 ns<"));
        assert!(place(">9.60 M msg/s<") < place(">2.40 M msg/s<"));
        let room = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH) as f64;
        assert!(text.contains(&format!("width=\"{room:.1}\"")), "{text}");
        assert!(text.contains(&format!("width=\"{:.1}\"", room / 2.0)), "{text}");
        assert!(text.contains(&format!("width=\"{:.1}\"", room / 4.0)), "{text}");
    }

    #[test]
    fn every_element_is_closed_and_both_themes_are_there() {
        let text = picture();
        for tag in ["svg", "title", "desc", "style", "text"] {
            let opened =
                text.matches(&format!("<{tag} ")).count() + text.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(text.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn the_legend_names_only_what_is_drawn() {
        let text = picture();
        assert!(text.contains("other actor libraries") && text.contains("bare channel"), "{text}");
        assert!(!text.contains("class=\"odeon\""), "{text}");
    }

    #[test]
    fn no_figures_draw_no_panel() {
        let text = render(&[], &Machine::read());
        assert!(!text.contains("class=\"h2\""));
        assert!(text.ends_with("</svg>\n"));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
