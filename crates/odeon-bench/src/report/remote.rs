//! The tables of the remote questions: one per transport with peers down and the basic questions across, and one per
//! scaling topic with what is varied down and peers across.

use comfy_table::{Cell, CellAlignment};

use crate::{
    figure::{self, End, Figure, Measure},
    machine::Machine,
    remote::question::{Point, Question, Topic, Transport},
    report::table::{close_up, push, ruled, times},
    workload::Runtime,
};

/// Renders the tables, what they mean, and the machine.
pub(crate) fn render(figures: &[Figure], machine: &Machine) -> String {
    let mut text = String::new();
    for runtime in [Runtime::OneThread, Runtime::TwoWorkers] {
        for transport in Transport::ALL {
            basic(&mut text, figures, runtime, transport);
        }
        for topic in Topic::ALL.into_iter().skip(1) {
            scaling(&mut text, figures, runtime, topic);
        }
    }
    text.push_str(
        "Median of the repetitions; × is how many times worse than the best beside it over the same\n",
    );
    text.push_str("transport. p50 and p99 are of single asks or contacts, in µs.\n");
    text.push_str(&machine.to_string());
    text
}

/// Whether the figure is of a basic question.
pub(crate) fn is_basic(figure: &Figure) -> bool {
    point(figure).is_some_and(|point| point.question.topic() == Topic::Basic)
}

/// What a panel of the picture is about.
pub(crate) fn title(point: Point) -> String {
    let over = point.transport.name();
    match point.question {
        Question::Ask => format!("Ask over {over}, round trip"),
        Question::AskMany => format!("Asks over {over}, 1,000 open"),
        Question::Tell => format!("Tells over {over}, 64 bytes"),
        Question::FirstContact => format!("First contact over {over}"),
        _ => point.to_string(),
    }
}

fn point(figure: &Figure) -> Option<Point> {
    match figure.measure {
        Measure::Remote(point) => Some(point),
        _ => None,
    }
}

fn right(text: impl Into<String>) -> Cell {
    Cell::new(text.into()).set_alignment(CellAlignment::Right)
}

/// The names in the order in which they come, each once.
fn unique<T: PartialEq + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

fn basic(text: &mut String, figures: &[Figure], runtime: Runtime, transport: Transport) {
    let here: Vec<&Figure> = figures
        .iter()
        .filter(|one| is_basic(one) && one.runtime == runtime)
        .filter(|one| point(one).is_some_and(|point| point.transport == transport))
        .collect();
    if here.is_empty() {
        return;
    }
    let mut questions = unique(here.iter().filter_map(|one| point(one)).map(|point| point.question));
    questions.sort_unstable();
    let mut table = ruled();
    table.set_header(questions.iter().fold(vec![Cell::new("")], |mut cells, &question| {
        let (unit, _) = Measure::Remote(Point { question, transport }).unit().scaled();
        cells.push(right(format!("{}\n{unit}", heading(question))));
        cells.extend(tails(question).iter().map(|(name, _)| right(format!("{name}\nµs"))));
        cells
    }));
    for peer in unique(here.iter().map(|one| one.peer)) {
        let mut cells = vec![Cell::new(peer)];
        for &question in &questions {
            let measure = Measure::Remote(Point { question, transport });
            let found = here.iter().copied().find(|one| one.peer == peer && one.measure == measure);
            cells.push(right(value(found, figures)));
            for (_, tail) in tails(question) {
                let tail = found.and_then(tail).map(|ns| figure::readable(ns / 1e3));
                cells.push(right(tail.unwrap_or_else(|| "–".to_owned())));
            }
        }
        table.add_row(cells);
    }
    close_up(&mut table);
    push(text, &format!("{}, over {}", runtime.label(), transport.name()), &table);
}

const fn heading(question: Question) -> &'static str {
    match question {
        Question::Ask => "ask p50",
        Question::AskMany => "1,000 asks",
        Question::Tell => "tell",
        Question::FirstContact => "first contact p50",
        _ => "",
    }
}

type Tail = (&'static str, fn(&Figure) -> Option<f64>);

/// The percentiles that are worth a column.
const fn tails(question: Question) -> &'static [Tail] {
    match question {
        Question::Ask | Question::FirstContact => &[("p99", |one| one.p99)],
        Question::AskMany => &[("p50", |one| one.p50), ("p99", |one| one.p99)],
        _ => &[],
    }
}

fn value(figure: Option<&Figure>, all: &[Figure]) -> String {
    figure.map_or_else(
        || "–".to_owned(),
        |one| {
            let (_, scale) = one.unit.scaled();
            format!("{} {}", figure::readable(one.value / scale), times(figure::ratio(one, all)))
        },
    )
}

fn scaling(text: &mut String, figures: &[Figure], runtime: Runtime, topic: Topic) {
    let here: Vec<(&Figure, Point)> = figures
        .iter()
        .filter(|one| one.runtime == runtime)
        .filter_map(|one| Some((one, point(one)?)))
        .filter(|(_, point)| point.question.topic() == topic)
        .collect();
    if here.is_empty() {
        return;
    }
    let mut columns = unique(here.iter().map(|(one, point)| (point.transport, one.peer)));
    columns.sort_by_key(|&(transport, _)| transport);
    let mut questions = unique(here.iter().map(|(_, point)| point.question));
    questions.sort_unstable();
    let mut table = ruled();
    let heads = columns.iter().map(|(transport, peer)| {
        // The raw peers are named after their transport.
        right(if peer.starts_with("raw-") {
            (*peer).to_owned()
        } else {
            format!("{peer}/{}", transport.name())
        })
    });
    table.set_header([Cell::new(varied(topic))].into_iter().chain(heads));
    for question in questions {
        let cells = columns.iter().map(|&(transport, peer)| {
            let found = here
                .iter()
                .find(|(one, point)| one.peer == peer && *point == Point { question, transport })
                .map(|(one, _)| *one);
            let mut cell = value(found, figures);
            if let (Question::Size(bytes), Some(one)) = (question, found) {
                cell = format!("{cell}\n{} MB/s", figure::readable(one.value * f64::from(bytes) / 1e6));
            }
            right(cell)
        });
        let name = question.varied().map_or_else(|| question.name(), |n| figure::thousands(&n.to_string()));
        table.add_row([right(name)].into_iter().chain(cells));
    }
    for end in End::ALL.into_iter().filter(|_| topic == Topic::Idle) {
        let cells = columns.iter().map(|&(transport, peer)| {
            let point = Point { question: Question::IdleLink, transport };
            let is_its = |one: &&Figure| {
                one.peer == peer && one.runtime == runtime && one.measure == Measure::RemoteEnd(point, end)
            };
            right(value(figures.iter().find(is_its), figures))
        });
        table.add_row([right(format!("its {} end", end.name()))].into_iter().chain(cells));
    }
    close_up(&mut table);
    push(text, &format!("{}, {}", runtime.label(), caption(topic)), &table);
}

const fn varied(topic: Topic) -> &'static str {
    match topic {
        Topic::LinksAsk | Topic::LinksMany => "links",
        Topic::Size => "bytes",
        Topic::Actors => "actors",
        Topic::Basic | Topic::Idle => "",
    }
}

const fn caption(topic: Topic) -> &'static str {
    match topic {
        Topic::Basic => "",
        Topic::LinksAsk => "one ask at a time, over so many links in turn: p50 in µs",
        Topic::LinksMany => "1,000 asks open, shared by so many links: thousand asks/s in all",
        Topic::Size => "asks with so many bytes, 16 open: thousand asks/s, MB/s",
        Topic::Actors => "1,000 asks open, to so many actors over one link: thousand asks/s",
        Topic::Idle => "memory of an idle link, both ends: KiB",
    }
}
