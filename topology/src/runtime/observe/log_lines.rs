//! Log lines that are safe from injection: one event is one line, whatever text it quotes.
//!
//! Events quote what others sent. A line break in a name would forge a line, an escape sequence would repaint a
//! terminal, a bidirectional mark would show the line in another order than it has.

use std::{
    borrow::Cow,
    fmt::Debug,
    io::{self, Write},
};

use schemas::text::steers;
use tracing::field::Field;
use tracing_subscriber::{
    field::MakeExt as _,
    fmt::{
        FormatFields, MakeWriter,
        format::{Writer, debug_fn},
    },
};

/// Whether the formatter colours its lines. What it quotes must go by [`quoted_fields`] then: in the line nobody can
/// tell its escape sequences from a stranger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

/// Writes lines elsewhere, each C0, C1 and bidirectional control in them replaced.
#[derive(Debug, Clone)]
pub(super) struct LogLines<M> {
    to: M,
    colours: Colours,
}

impl<M> LogLines<M> {
    pub(super) fn new(to: M, colours: Colours) -> Self {
        Self { to, colours }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for LogLines<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { to: self.to.make_writer(), colours: self.colours }
    }
}

/// Takes one whole line at a time, as the formatter gives them.
#[derive(Debug)]
pub(super) struct LineWriter<W> {
    to: W,
    colours: Colours,
}

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.to.write_all(tamed(&text, self.colours).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The line without control characters, but for its own end.
fn tamed(line: &str, colours: Colours) -> Cow<'_, str> {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let steers = |c: char| steers(c) && !(c == '\u{1b}' && colours == Colours::On);
    if !text.contains(steers) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(text.replace(steers, "\u{fffd}") + end)
}

/// Formats the fields of events and spans as `name=value`, and the message as it is.
pub(super) fn quoted_fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let value = format!("{value:?}");
        let value = tamed(&value, Colours::Off);
        if field.name() == "message" { write!(writer, "{value}") } else { write!(writer, "{field}={value}") }
    })
    .delimited(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::{Layer, layer::SubscriberExt};

    use super::*;

    const FORGED: &str =
        "a\r\n{\"level\":\"ERROR\"}\u{1b}[31m\u{9b}31m\u{85}\u{2028}\u{202e}gpj.exe\u{2066}ü\0";

    #[derive(Debug, Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("free").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Log lines of a service about an event that quotes a stranger, in one of its formats.
    fn logged<L>(layer: impl FnOnce(LogLines<Written>) -> L, colours: Colours) -> String
    where
        L: Layer<tracing_subscriber::Registry> + Send + Sync,
    {
        let written = Written::default();
        let subscriber = tracing_subscriber::registry().with(layer(LogLines::new(written.clone(), colours)));
        with_default(subscriber, || {
            let _within = tracing::info_span!("request", path = %FORGED).entered();
            tracing::warn!(name = FORGED, quoted = %FORGED, "{FORGED}");
        });
        let bytes = written.0.lock().expect("free").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[track_caller]
    fn check(text: &str, allowed: &[char]) {
        let (line, end) = text.split_at(text.len() - 1);
        assert_eq!(end, "\n");
        let steering: Vec<char> = line.chars().filter(|c| steers(*c) && !allowed.contains(c)).collect();
        assert!(steering.is_empty(), "{steering:?} in {line:?}");
        assert!(line.contains("gpj.exe") && line.contains('ü'), "{line:?}");
    }

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let json = logged(|to| tracing_subscriber::fmt::layer().with_writer(to).json(), Colours::Off);
        check(&json, &[]);
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON all the same");
        assert_eq!(parsed["level"], "WARN");
        let plain = |to| tracing_subscriber::fmt::layer().with_writer(to).with_ansi(false);
        check(&logged(plain, Colours::Off), &[]);
        let coloured =
            |to| tracing_subscriber::fmt::layer().with_writer(to).with_ansi(true).fmt_fields(quoted_fields());
        let coloured = logged(coloured, Colours::On);
        check(&coloured, &['\u{1b}']);
        assert!(!coloured.contains("\u{1b}[31m"), "only the formatter's own colours: {coloured:?}");
    }

    #[test]
    fn what_steers_nobody_is_written_as_it_is() {
        assert!(matches!(tamed("plain ü 東\n", Colours::Off), Cow::Borrowed("plain ü 東\n")));
        assert_eq!(tamed("a\tb\n\n", Colours::Off), "a\u{fffd}b\u{fffd}\n");
        assert_eq!(tamed("\u{1b}[33mWARN", Colours::On), "\u{1b}[33mWARN");
    }
}
