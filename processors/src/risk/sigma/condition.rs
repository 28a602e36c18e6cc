//! Sigma conditions: selections joined by `and`, `or` and `not`.

/// Maximum length of a condition, in bytes.
const MAX_BYTES: usize = 65_536;
/// Maximum nesting of parentheses and negations.
const MAX_DEPTH: usize = 64;

/// A condition over names or indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition<N> {
    Named(N),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// At least this number of these.
    AtLeast(usize, Vec<N>),
}

/// Parses a condition over selections with these names. The error gives the reason.
pub(super) fn parse(written: &str, names: &[&str]) -> Result<Condition<usize>, String> {
    if written.len() > MAX_BYTES {
        return Err(format!("the condition is longer than {MAX_BYTES} bytes"));
    }
    let tokens = tokens(written);
    if tokens.is_empty() {
        return Err("the condition is empty".to_owned());
    }
    if tokens.contains(&"|") {
        return Err(
            "aggregations in a condition (`| count()`, `near`) are not in Sigma 2; write a correlation"
                .to_owned(),
        );
    }
    let mut parser = Parser { tokens, at: 0, names, depth: 0 };
    let condition = parser.any()?;
    match parser.next() {
        None => Ok(condition),
        Some(token) => Err(format!("the condition cannot be read from {token:?} on")),
    }
}

/// Words, parentheses and pipes.
fn tokens(written: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in written.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')', '|']) {
            tokens.extend([&rest[..at], &rest[at..=at]].into_iter().filter(|token| !token.is_empty()));
            rest = &rest[at + 1..];
        }
        tokens.extend([rest].into_iter().filter(|token| !token.is_empty()));
    }
    tokens
}

struct Parser<'c> {
    tokens: Vec<&'c str>,
    at: usize,
    names: &'c [&'c str],
    depth: usize,
}

impl<'c> Parser<'c> {
    fn next(&mut self) -> Option<&'c str> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    /// Takes the word if it comes next, ignoring case.
    fn take(&mut self, word: &str) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }

    fn any(&mut self) -> Result<Condition<usize>, String> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition<usize>, String> {
        let mut parts = vec![self.not()?];
        while self.take("and") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn not(&mut self) -> Result<Condition<usize>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the condition is nested deeper than {MAX_DEPTH} levels"));
        }
        let condition =
            if self.take("not") { Condition::Not(Box::new(self.not()?)) } else { self.primary()? };
        self.depth -= 1;
        Ok(condition)
    }

    fn primary(&mut self) -> Result<Condition<usize>, String> {
        if self.take("(") {
            let inner = self.any()?;
            return if self.take(")") { Ok(inner) } else { Err("a bracket is not closed".to_owned()) };
        }
        let Some(token) = self.next() else {
            return Err("the condition ends where a selection is wanted".to_owned());
        };
        if self.take("of") {
            return self.of(token);
        }
        let place = self.names.iter().position(|name| *name == token);
        place.map(Condition::Named).ok_or_else(|| match token.to_ascii_lowercase().as_str() {
            "and" | "or" | "not" | "of" | ")" => {
                format!("the condition has {token:?} where a selection is wanted")
            }
            _ => format!("the condition names {token:?}, and nothing is called that"),
        })
    }

    /// Parses `1 of pattern`; the token before `of` is the number.
    fn of(&mut self, many: &str) -> Result<Condition<usize>, String> {
        let pattern = self.next().ok_or("the condition ends behind \"of\"")?;
        let meant: Vec<usize> =
            (0..self.names.len()).filter(|at| is_meant(pattern, self.names[*at])).collect();
        if meant.is_empty() {
            return Err(format!("the condition wants {many} of {pattern:?}, and nothing is called that"));
        }
        let wanted = match many.to_ascii_lowercase().as_str() {
            "all" => meant.len(),
            "any" => 1,
            number => number.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                format!(
                    "the condition wants {many:?} of {pattern:?}; \"1\", \"any\" and \"all\" can be wanted"
                )
            })?,
        };
        if wanted > meant.len() {
            return Err(format!(
                "the condition wants {many} of {pattern:?}, and only {} are called that",
                meant.len()
            ));
        }
        Ok(Condition::AtLeast(wanted, meant))
    }
}

fn one_or(
    mut parts: Vec<Condition<usize>>,
    many: fn(Vec<Condition<usize>>) -> Condition<usize>,
) -> Condition<usize> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

/// Whether a pattern with `*` matches the name; a name that begins with an underscore only if the pattern
/// does.
fn is_meant(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case("them") {
        return !name.starts_with('_');
    }
    (!name.starts_with('_') || pattern.starts_with('_')) && matches(pattern, name)
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["sel_a", "sel_b", "filter", "_hidden", "main-1"];

    /// The condition with names in place of indices.
    fn shown(condition: &Condition<usize>) -> String {
        let joined = |parts: &[Condition<usize>], by: &str| {
            format!("({})", parts.iter().map(shown).collect::<Vec<_>>().join(by))
        };
        match condition {
            Condition::Named(at) => NAMES[*at].to_owned(),
            Condition::All(parts) => joined(parts, " & "),
            Condition::Any(parts) => joined(parts, " | "),
            Condition::Not(part) => format!("!{}", shown(part)),
            Condition::AtLeast(n, names) => {
                format!("{n} of {}", names.iter().map(|at| NAMES[*at]).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn conditions_bind_as_the_specification_says() {
        for (written, expected) in [
            ("sel_a", "sel_a"),
            ("sel_a or sel_b and not filter", "(sel_a | (sel_b & !filter))"),
            ("(sel_a or sel_b) and not filter", "((sel_a | sel_b) & !filter)"),
            ("not sel_a and sel_b", "(!sel_a & sel_b)"),
            ("not not sel_a", "!!sel_a"),
            ("1 of sel_* and not 1 of filter*", "(1 of sel_a,sel_b & !1 of filter)"),
            ("all of sel_*", "2 of sel_a,sel_b"),
            ("any of *_b", "1 of sel_b"),
            ("1 of s*_*a", "1 of sel_a"),
            ("all of them", "4 of sel_a,sel_b,filter,main-1"),
            ("1 of _h*", "1 of _hidden"),
            ("1 of *", "1 of sel_a,sel_b,filter,main-1"),
            ("sel_a AND NOT filter", "(sel_a & !filter)"),
            ("main-1 and(filter)", "(main-1 & filter)"),
            ("2 of them", "2 of sel_a,sel_b,filter,main-1"),
        ] {
            assert_eq!(shown(&parse(written, &NAMES).expect(written)), expected, "{written}");
        }
    }

    #[test]
    fn what_names_nothing_or_cannot_be_read_is_refused() {
        let deep = format!("{}sel_a{}", "(".repeat(80), ")".repeat(80));
        for wrong in [
            "",
            "selection",
            "1 of selection_*",
            "all of selection_*",
            "sel_a and",
            "and sel_a",
            "(sel_a",
            "sel_a)",
            "sel_a sel_b",
            "1 of",
            "0 of them",
            "5 of them",
            "some of them",
            "sel_a | count() > 5",
            "not",
            &deep,
            "of them",
            "1 of hidden*",
        ] {
            assert!(parse(wrong, &NAMES).is_err(), "{wrong}");
        }
        let named = parse("1 of selection_*", &NAMES).expect_err("nothing");
        assert!(named.contains("selection_*"), "{named}");
    }
}
