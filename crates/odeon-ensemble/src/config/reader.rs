//! Typed access to a parsed TOML table: what is wrong is reported, what is missing is `None`, and reading goes on.

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use odeon_core::{Address, DURATION_EXPECTED, suggest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code::ErrorCode;
use super::report::Report;
use super::{LIST_ITEMS_MAX, LISTEN_MAX, SERVER_ADDRESSES_MAX, units};

/// A value with its place in the text.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// One table of the file, whose unknown keys have been reported.
#[derive(Debug)]
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
}

/// Who listens at an address of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    /// The role, for its clients: the supervisor binds the socket and passes it on.
    Role,
    /// The actor server itself, for links.
    Server,
}

impl Listener {
    const fn expected(self) -> &'static str {
        match self {
            Self::Role => "expected `tcp:IP:PORT`; port 0 lets the system choose",
            Self::Server => "expected `tls:HOST:PORT` or `tcp:HOST:PORT`; port 0 lets the system choose",
        }
    }
}

impl<'a> Section<'a> {
    /// Opens a table of which only `keys` mean something. `place` names it in errors.
    pub(super) fn new(place: &str, table: &'a DeTable<'a>, keys: &[&str], report: &mut Report<'_>) -> Self {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if keys.contains(&name) {
                continue;
            }
            let help = match suggest(name, keys.iter().copied()) {
                Some(near) => near.to_string(),
                None => format!("the keys are {}", quoted(keys.iter().copied())),
            };
            let message = format!("unknown key `{}` in {place}", clipped(name));
            report.add(ErrorCode::UnknownKey, key.span(), message, help);
        }
        Self { table }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    /// The span of a value that is there.
    pub(super) fn span(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<Spanned<&'a str>> {
        text(key, self.get(key)?, report)
    }

    /// A list of texts, [`LIST_ITEMS_MAX`] at most.
    pub(super) fn texts(&self, key: &str, report: &mut Report<'_>) -> Option<Vec<Spanned<&'a str>>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            bad_type(key, "a list of strings such as `[\"a\", \"b\"]`", value, report);
            return None;
        };
        within_list_limit(key, items.len(), value.span(), report);
        let texts = items.iter().take(LIST_ITEMS_MAX);
        Some(texts.filter_map(|item| text(key, item, report)).collect())
    }

    /// Yes or no.
    pub(super) fn truth(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let value = self.get(key)?;
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            bad_type(key, "true or false", value, report);
        }
        truth
    }

    pub(super) fn table(&self, key: &str, report: &mut Report<'_>) -> Option<&'a DeTable<'a>> {
        table(key, self.get(key)?, report)
    }

    /// A whole number within a range.
    pub(super) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        report: &mut Report<'_>,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            bad_type(key, "a whole number", value, report);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let found = number.and_then(|number| u32::try_from(number).ok()).filter(|n| range.contains(n));
        if found.is_none() {
            let message = format!("`{key}` is {integer}");
            let help = format!("expected a whole number from {} to {}", range.start(), range.end());
            report.add(ErrorCode::OutOfRange, value.span(), message, help);
        }
        found
    }

    /// A duration within a range.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        report: &mut Report<'_>,
    ) -> Option<Duration> {
        let text = self.text(key, report)?;
        let Some(duration) = units::duration(text.get_ref()) else {
            let message = format!("`{key}` is not a duration up to 168h: `{}`", clipped(text.get_ref()));
            let help = format!("expected {}", DURATION_EXPECTED);
            report.add(ErrorCode::BadValue, text.span(), message, help);
            return None;
        };
        if !range.contains(&duration) {
            let message = format!("`{key}` is `{}`", text.get_ref());
            let help = format!("expected a duration from {:?} to {:?}", range.start(), range.end());
            report.add(ErrorCode::OutOfRange, text.span(), message, help);
            return None;
        }
        Some(duration)
    }

    /// A size of at least `min` bytes.
    pub(super) fn size(&self, key: &str, min: u64, report: &mut Report<'_>) -> Option<u64> {
        let text = self.text(key, report)?;
        let Some(bytes) = units::size(text.get_ref()) else {
            let message = format!("`{key}` is not a size up to 1024GiB: `{}`", clipped(text.get_ref()));
            let help = format!("expected {}", units::SIZE_EXPECTED);
            report.add(ErrorCode::BadValue, text.span(), message, help);
            return None;
        };
        if bytes < min {
            let message = format!("`{key}` is less than {min} bytes");
            let help = format!("expected {min}B or more");
            report.add(ErrorCode::OutOfRange, text.span(), message, help);
            return None;
        }
        Some(bytes)
    }

    /// Addresses by which a role or a server is reached over the network; its unix socket every server has anyhow.
    pub(super) fn listen_addresses(
        &self,
        key: &str,
        whose: Listener,
        report: &mut Report<'_>,
    ) -> Vec<Spanned<Address>> {
        let texts = self.texts(key, report).unwrap_or_default();
        let max = match whose {
            Listener::Role => LISTEN_MAX,
            Listener::Server => SERVER_ADDRESSES_MAX,
        };
        if texts.len() > max {
            let message = format!("`{key}` has {} addresses", texts.len());
            let span = self.span(key).unwrap_or_default();
            report.add(ErrorCode::TooMany, span, message, format!("expected {max} at most"));
        }
        let mut addresses = Vec::with_capacity(texts.len());
        for text in texts {
            let help = whose.expected().to_owned();
            match Address::from_str(text.get_ref()) {
                Ok(Address::Tcp(place))
                    if whose == Listener::Role && place.parse::<SocketAddr>().is_err() =>
                {
                    let message = format!("`{key}` takes IP addresses, not the name in `{}`", text.get_ref());
                    let help = "expected such as `tcp:127.0.0.1:8080` or `tcp:[::1]:8080`".to_owned();
                    report.add(ErrorCode::BadAddress, text.span(), message, help);
                }
                Ok(address @ Address::Tcp(_)) => addresses.push(Spanned::new(text.span(), address)),
                Ok(address @ Address::Tls(_)) if whose == Listener::Server => {
                    addresses.push(Spanned::new(text.span(), address));
                }
                Ok(address) => {
                    let message = format!("`{key}` does not take `{address}`");
                    report.add(ErrorCode::BadAddress, text.span(), message, help);
                }
                Err(error) => {
                    let message = format!("`{}` is not an address: {}", error.text, error.reason);
                    report.add(ErrorCode::BadAddress, text.span(), message, help);
                }
            }
        }
        addresses
    }
}

pub(super) fn text<'a>(key: &str, value: &'a Value<'a>, report: &mut Report<'_>) -> Option<Spanned<&'a str>> {
    let Some(text) = value.get_ref().as_str() else {
        bad_type(key, "a string", value, report);
        return None;
    };
    if text.contains('\0') {
        let message = format!("`{key}` contains a zero byte");
        let help = "no argument, name or path can hold one".to_owned();
        report.add(ErrorCode::BadValue, value.span(), message, help);
        return None;
    }
    Some(Spanned::new(value.span(), text))
}

pub(super) fn table<'a>(key: &str, value: &'a Value<'a>, report: &mut Report<'_>) -> Option<&'a DeTable<'a>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        bad_type(key, "a table", value, report);
    }
    table
}

/// Reports a list or table with more than [`LIST_ITEMS_MAX`] items.
pub(super) fn within_list_limit(key: &str, items: usize, span: Range<usize>, report: &mut Report<'_>) {
    if items > LIST_ITEMS_MAX {
        let message = format!("`{key}` has {items} items");
        let help = format!("expected {LIST_ITEMS_MAX} at most");
        report.add(ErrorCode::TooMany, span, message, help);
    }
}

fn bad_type(key: &str, expected: &str, value: &Value<'_>, report: &mut Report<'_>) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let message = format!("`{key}` is {found}");
    report.add(ErrorCode::BadType, value.span(), message, format!("expected {expected}"));
}

/// `` `a`, `b` and `c` `` for messages.
pub(super) fn quoted<'t>(names: impl IntoIterator<Item = &'t str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A text of the file shortened for a message.
pub(super) fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}
