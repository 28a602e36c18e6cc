//! Rewrites two forms of Rego v0 that the engine does not parse to equivalent ones.

/// Repeats a rule's head before each further body (`} {`), and ends the line before a line that begins with `(`.
pub(crate) fn v0(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut scan = Scan::default();
    for (at, symbol) in text.char_indices() {
        if scan.in_literal(symbol) {
            out.push(symbol);
            continue;
        }
        match symbol {
            '{' if scan.depth == 0 && scan.last == '}' && scan.body_ended => out.push_str(&scan.head),
            '{' if scan.depth == 0 && !matches!(scan.last, '=' | ':') => {
                text[scan.rule_start..at].trim().clone_into(&mut scan.head);
                scan.head.push(' ');
            }
            '(' if scan.begins_line && scan.depth > 0 && ends_a_term(scan.last) => out.push_str("; "),
            _ => {}
        }
        out.push(symbol);
        scan.advance(at, symbol);
    }
    out
}

fn ends_a_term(symbol: char) -> bool {
    symbol.is_alphanumeric() || matches!(symbol, '_' | ')' | ']' | '}' | '"' | '`')
}

#[derive(Default)]
struct Scan {
    depth: usize,
    /// Head of the current rule, as text.
    head: String,
    rule_start: usize,
    /// The last symbol that is neither space nor comment.
    last: char,
    body_ended: bool,
    begins_line: bool,
    literal: Option<char>,
    escaped: bool,
}

impl Scan {
    /// Whether the symbol belongs to a comment or a string; tracks where these begin and end.
    fn in_literal(&mut self, symbol: char) -> bool {
        let Some(end) = self.literal else {
            return false;
        };
        if self.escaped {
            self.escaped = false;
        } else if symbol == '\\' && end == '"' {
            self.escaped = true;
        } else if symbol == end {
            self.literal = None;
            if end == '\n' {
                self.begins_line = true;
            }
        }
        true
    }

    fn advance(&mut self, at: usize, symbol: char) {
        match symbol {
            '#' => {
                self.literal = Some('\n');
                return;
            }
            '\n' => {
                self.begins_line = true;
                return;
            }
            _ if symbol.is_whitespace() => return,
            '"' | '`' => self.literal = Some(symbol),
            _ => {}
        }
        // A rule begins with the first word of a line outside of every bracket.
        if self.depth == 0 && self.begins_line && !matches!(symbol, '{' | '}') {
            self.rule_start = at;
            self.head.clear();
        }
        match symbol {
            '{' | '[' | '(' => self.depth += 1,
            '}' | ']' | ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.body_ended = symbol == '}' && self.depth == 0 && !self.head.is_empty();
        self.last = symbol;
        self.begins_line = false;
    }
}

/// Moves the references in the arguments of a negated call before it: `not f(a.b)` becomes
/// `_ = a.b; not f(a.b)`. OPA evaluates them outside of the negation, so that an undefined one makes the whole body
/// undefined; the engine would make the negation true. Line numbers stay the same.
pub(crate) fn negations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut scan = Scan::default();
    let mut open = Vec::new();
    for (at, symbol) in text.char_indices() {
        if scan.in_literal(symbol) {
            out.push(symbol);
            continue;
        }
        let begins_statement = scan.begins_line || matches!(scan.last, '{' | ';');
        if symbol == 'n' && begins_statement && open.last() == Some(&'{') {
            for reference in negated_references(&text[at..]) {
                out.push_str("_ = ");
                out.push_str(reference);
                out.push_str("; ");
            }
        }
        match symbol {
            '{' | '[' | '(' => open.push(symbol),
            '}' | ']' | ')' => drop(open.pop()),
            _ => {}
        }
        out.push(symbol);
        scan.advance(at, symbol);
    }
    out
}

/// The references in the arguments of the call in `not f(…)` at the beginning of the text. Empty if an
/// argument is more than a name, a number, a text or a reference, or if a `with` follows.
fn negated_references(text: &str) -> Vec<&str> {
    let is_name = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
    let call = text.strip_prefix("not ").and_then(|rest| rest.trim_start().split_once('('));
    let Some((name, rest)) = call.filter(|(name, _)| name.chars().all(|it| is_name(it) || it == '.')) else {
        return Vec::new();
    };
    let Some((arguments, after)) = rest.split_once(')') else { return Vec::new() };
    let is_plain = !arguments.contains(['(', '[', '{', '"', '`', '#', '\n']);
    let ends = after.trim_start_matches([' ', '\t']);
    if name.is_empty() || !is_plain || !(ends.is_empty() || ends.starts_with(['\n', '\r', ';', '}', '#'])) {
        return Vec::new();
    }
    let is_reference = |argument: &&str| {
        let mut parts = argument.split('.').peekable();
        let begins = |part: &str| part.starts_with(|first: char| first.is_alphabetic() || first == '_');
        argument.contains('.') && parts.all(|part| begins(part) && part.chars().all(is_name))
    };
    arguments.split(',').map(str::trim).filter(is_reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_a_negated_call_are_evaluated_before_it() {
        let check = |before: &str, after: &str| assert_eq!(negations(before), after);
        check("p {\n  not f(x, y.z)\n}\n", "p {\n  _ = y.z; not f(x, y.z)\n}\n");
        check("p if { a; not lib.f(input.a.b) }", "p if { a; _ = input.a.b; not lib.f(input.a.b) }");
        for same in [
            "p { not f(x, \"y.z\") }",
            "p { not f(1.5) }",
            "p { not f(y.z) with input as 1 }",
            "p { not y.z }",
            "p if not f(y.z)",
            "# { not f(y.z) }\n",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn a_further_body_gets_the_head_again() {
        assert_eq!(
            v0("p[x] {\n  x := 1\n} {\n  x := 2 # } {\n}\n"),
            "p[x] {\n  x := 1\n} p[x] {\n  x := 2 # } {\n}\n"
        );
        assert_eq!(
            v0("v[{\"m\": m}] { m := \"} {\" } { m := 2 }"),
            "v[{\"m\": m}] { m := \"} {\" } v[{\"m\": m}] { m := 2 }"
        );
        let object = "p = {\"a\": 1} {\n  true\n}\n";
        assert_eq!(v0(object), object);
    }

    #[test]
    fn a_line_that_begins_with_a_parenthesis_is_an_expression_of_its_own() {
        assert_eq!(v0("f(x) {\n  x.y\n  (x.z - 1) > 2\n}"), "f(x) {\n  x.y\n  ; (x.z - 1) > 2\n}");
        let sum = "f(x) {\n  x.y +\n  (x.z - 1) > 2\n}";
        assert_eq!(v0(sum), sum);
    }
}
