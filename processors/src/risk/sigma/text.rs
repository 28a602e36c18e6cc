//! Text patterns of rules: with wildcards, with or without case, at the beginning, at the end, or anywhere.

use super::record::{Leaf, folded};

/// Maximum number of variants of one value: four dashes, each of five.
const MAX_FORMS: usize = 625;

/// A pattern as a rule writes it: plain text and wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `?`: any one character.
    One,
    /// `*`: any characters, line ends included, or none.
    Any,
}

impl Pattern {
    /// Parses `*`, `?` and their escapes. A backslash before any other character stands for itself.
    pub(super) fn parse(written: &str) -> Self {
        let mut pattern = Self::default();
        let mut rest = written.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '*' => pattern.push(Piece::Any),
                '?' => pattern.push(Piece::One),
                '\\' if matches!(rest.peek(), Some('*' | '?' | '\\')) => {
                    pattern.push_char(rest.next().unwrap_or('\\'));
                }
                plain => pattern.push_char(plain),
            }
        }
        pattern
    }

    /// Text without wildcards.
    pub(super) fn plain(text: &str) -> Self {
        let mut pattern = Self::default();
        for c in text.chars() {
            pattern.push_char(c);
        }
        pattern
    }

    fn push_char(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.into())),
        }
    }

    fn push(&mut self, piece: Piece) {
        if piece != Piece::Any || self.0.last() != Some(&Piece::Any) {
            self.0.push(piece);
        }
    }

    /// Concatenates two patterns.
    pub(super) fn then(mut self, other: Self) -> Self {
        for piece in other.0 {
            match piece {
                Piece::Text(text) => text.chars().for_each(|c| self.push_char(c)),
                wildcard => self.push(wildcard),
            }
        }
        self
    }

    /// `*`
    pub(super) fn anything() -> Self {
        Self(vec![Piece::Any])
    }

    /// The text, if there are no wildcards in it.
    pub(super) fn as_plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Every variant of the pattern in which a dash that begins a flag is replaced by one that command lines
    /// accept for it; `None` if there are too many.
    pub(super) fn dashes(&self) -> Option<Vec<Self>> {
        const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut forms = vec![Self::default()];
        for piece in &self.0 {
            let Piece::Text(text) = piece else {
                for form in &mut forms {
                    form.push(piece.clone());
                }
                continue;
            };
            let characters: Vec<char> = text.chars().collect();
            for (at, c) in characters.iter().enumerate() {
                let before = at.checked_sub(1).is_some_and(|before| is_word(characters[before]));
                let after = characters.get(at + 1).is_some_and(|after| is_word(*after));
                if DASHES.contains(c) && !before && after {
                    if forms.len() * DASHES.len() > MAX_FORMS {
                        return None;
                    }
                    let with = |form: &Self, dash: &char| {
                        let mut form = form.clone();
                        form.push_char(*dash);
                        form
                    };
                    forms =
                        forms.iter().flat_map(|form| DASHES.iter().map(|dash| with(form, dash))).collect();
                } else {
                    for form in &mut forms {
                        form.push_char(*c);
                    }
                }
            }
        }
        Some(forms)
    }
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// Whether it is case-sensitive; otherwise the pattern is folded.
    cased: bool,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Anything,
    /// Sequences of texts and `?` between `*`. The first is anchored at the beginning unless it is free, the
    /// last at the end.
    Rows {
        rows: Vec<Vec<Piece>>,
        free_start: bool,
        free_end: bool,
    },
}

impl Glob {
    pub(super) fn new(pattern: &Pattern, cased: bool) -> Self {
        let fold = |text: &str| {
            if cased { text.to_owned() } else { folded(text).into_owned() }
        };
        let shape = match pattern.0.as_slice() {
            [] => Shape::Exact(String::new()),
            [Piece::Text(text)] => Shape::Exact(fold(text)),
            [Piece::Any] => Shape::Anything,
            [Piece::Text(text), Piece::Any] => Shape::Prefix(fold(text)),
            [Piece::Any, Piece::Text(text)] => Shape::Suffix(fold(text)),
            [Piece::Any, Piece::Text(text), Piece::Any] => Shape::Contains(fold(text)),
            pieces => {
                let as_asked = pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => Piece::Text(fold(text)),
                    wildcard => wildcard.clone(),
                });
                let as_asked: Vec<Piece> = as_asked.collect();
                let rows = as_asked.split(|piece| *piece == Piece::Any).map(<[Piece]>::to_vec);
                Shape::Rows {
                    rows: rows.filter(|row| !row.is_empty()).collect(),
                    free_start: pieces.first() == Some(&Piece::Any),
                    free_end: pieces.last() == Some(&Piece::Any),
                }
            }
        };
        Self { cased, shape }
    }

    /// The folded text that the value must equal, if there is exactly one.
    pub(super) fn exact(&self) -> Option<&str> {
        match &self.shape {
            Shape::Exact(text) if !self.cased => Some(text),
            _ => None,
        }
    }

    /// Whether the comparison is case-sensitive.
    pub(super) fn is_cased(&self) -> bool {
        self.cased
    }

    /// Relative cost of the comparison.
    pub(super) fn cost(&self) -> u8 {
        match self.shape {
            Shape::Exact(_) | Shape::Prefix(_) | Shape::Suffix(_) | Shape::Anything => 1,
            Shape::Contains(_) => 2,
            Shape::Rows { .. } => 3,
        }
    }

    /// Whether the value matches.
    pub(super) fn holds(&self, leaf: &Leaf<'_>) -> bool {
        let text = if self.cased { leaf.text() } else { leaf.folded() };
        text.is_some_and(|text| self.matches(text))
    }

    fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Exact(whole) => text == whole,
            Shape::Prefix(start) => text.starts_with(start),
            Shape::Suffix(end) => text.ends_with(end),
            Shape::Contains(part) => text.contains(part),
            Shape::Anything => true,
            Shape::Rows { rows, free_start, free_end } => in_order(text, rows, (*free_start, *free_end)),
        }
    }
}

/// Whether the sequences occur in the text in order. A sequence matches a fixed number of characters,
/// so that choosing the earliest position for each leaves the most for the next.
fn in_order(text: &str, rows: &[Vec<Piece>], (free_start, free_end): (bool, bool)) -> bool {
    let (mut rest, mut rows) = (text, rows);
    if !free_start && let Some((first, others)) = rows.split_first() {
        let Some(after) = at_start(rest, first) else { return false };
        (rest, rows) = (after, others);
        if rows.is_empty() {
            return free_end || rest.is_empty();
        }
    }
    let mut last = None;
    if !free_end && let Some((end, others)) = rows.split_last() {
        (last, rows) = (Some(end), others);
    }
    for row in rows {
        let Some(after) = anywhere(rest, row) else { return false };
        rest = after;
    }
    last.is_none_or(|row| at_end(rest, row))
}

/// The rest of the text after the sequence, if the text begins with it.
fn at_start<'t>(text: &'t str, row: &[Piece]) -> Option<&'t str> {
    row.iter().try_fold(text, |rest, piece| match piece {
        Piece::Text(text) => rest.strip_prefix(text.as_str()),
        Piece::One | Piece::Any => rest.chars().next().map(|one| &rest[one.len_utf8()..]),
    })
}

/// The rest of the text after the first occurrence of the sequence.
fn anywhere<'t>(text: &'t str, row: &[Piece]) -> Option<&'t str> {
    if let [Piece::Text(part)] = row {
        return text.find(part.as_str()).map(|at| &text[at + part.len()..]);
    }
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.find_map(|at| at_start(&text[at..], row))
}

fn at_end(text: &str, row: &[Piece]) -> bool {
    let characters: usize = row
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.chars().count(),
            Piece::One | Piece::Any => 1,
        })
        .sum();
    let Some(skipped) = text.chars().count().checked_sub(characters) else { return false };
    let start = text.char_indices().nth(skipped).map_or(text.len(), |(at, _)| at);
    at_start(&text[start..], row).is_some_and(str::is_empty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(&Pattern::parse(pattern), true).matches(text)
    }

    #[test]
    fn wildcards_and_escapes() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("a*c", "a\nb\nc", true),
            ("a*c", "ab", false),
            ("a?c", "aüc", true),
            ("a?c", "a\nc", true),
            ("a?c", "ac", false),
            ("??", "ab", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"a\?", "a?", true),
            (r"a\\*", r"a\bc", true),
            (r"a\\\*", r"a\*", true),
            (r"\\\\x", r"\\x", true),
            (r"\\\x", r"\\x", true),
            (r"C:\Win", r"C:\Win", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("*ab?*", "xxab", false),
            ("*ab?*", "xxabc", true),
            ("*a?b", "a1b a2b", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text:?}");
        }
    }

    /// The result by the definition: every way of dividing the text.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| by_definition(rest, &text[taken..])),
            Some(('?', rest)) => !text.is_empty() && by_definition(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_definition_says(pattern in "[abü*?]{0,8}", text in "[abü\n]{0,10}") {
            let expected =
                by_definition(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&pattern, &text), expected, "{} on {:?}", pattern, text);
        }
    }

    #[test]
    fn a_flag_begins_with_any_dash() {
        let forms = Pattern::parse("run -a /b x-y --c").dashes().expect("few");
        assert_eq!(forms.len(), 125, "-a, /b and the second of --c");
        assert!(forms.contains(&Pattern::parse("run /a \u{2014}b x-y -\u{2015}c")));
        assert_eq!(Pattern::parse("-a -b -c -d -e").dashes(), None);
    }
}
