//! Depth of literals in a policy's text.
//!
//! The engine's parser tries each bracket first as a comprehension and then again as a list, set or object. Every level
//! doubles its time: 30 levels take hours, and no timer stops the parser.

use crate::EngineError;

/// Maximum number of times that the parser begins a list, set or object: a few seconds' work.
const MAX_BEGUN: u64 = 1 << 20;

/// Symbols after which a bracket begins a literal.
const BEFORE_LITERAL: &str = "=:,([{|;&<>";

/// A bracket that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Of a list, set, object or comprehension.
    Literal,
    /// Of a rule's body, a call or a reference.
    Other,
}

/// # Errors
/// Literals are nested deeper than the parser bears: names the place.
pub(crate) fn check(file: &str, text: &str) -> Result<(), EngineError> {
    let (mut open, mut depth, mut begun, mut last) = (Vec::new(), 0_u32, 0_u64, ' ');
    let mut symbols = text.char_indices();
    while let Some((at, symbol)) = symbols.next() {
        match symbol {
            '"' | '`' => skip_text(&mut symbols, symbol),
            '#' => drop(symbols.find(|(_, symbol)| *symbol == '\n')),
            '(' => open.push(Open::Other),
            // A list after a name is a reference, an object after a name or a head is a body.
            '[' | '{' if !BEFORE_LITERAL.contains(last) => open.push(Open::Other),
            '[' | '{' => {
                open.push(Open::Literal);
                depth += 1;
                begun = begun.saturating_add(1_u64.checked_shl(depth).unwrap_or(u64::MAX));
                if begun > MAX_BEGUN {
                    return Err(too_deep(file, text, at));
                }
            }
            ']' | '}' | ')' => depth -= u32::from(open.pop() == Some(Open::Literal)),
            _ => {}
        }
        if !symbol.is_whitespace() && symbol != '#' {
            last = symbol;
        }
    }
    Ok(())
}

/// Moves behind the end of a quoted text.
fn skip_text(symbols: &mut std::str::CharIndices<'_>, quote: char) {
    while let Some((_, symbol)) = symbols.next() {
        match symbol {
            '\\' if quote == '"' => drop(symbols.next()),
            end if end == quote => return,
            _ => {}
        }
    }
}

fn too_deep(file: &str, text: &str, at: usize) -> EngineError {
    let before = &text[..at];
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    let reason = "lists, sets and objects are nested too deep to be parsed in time".to_owned();
    EngineError::Rego { reason, file: Some(file.to_owned()), place: Some((line, column)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Option<(usize, usize)> {
        match check("a.rego", text) {
            Ok(()) => None,
            Err(EngineError::Rego { place, .. }) => place,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn literals_nest_to_a_bound() {
        let nested = |open: &str, close: &str, depth| {
            format!("package a\nx := {}1{}\n", open.repeat(depth), close.repeat(depth))
        };
        for (open, close) in [("[", "]"), ("{\"a\": ", "}"), ("{", "}"), ("[1, ", "]")] {
            assert_eq!(place(&nested(open, close, 15)), None, "{open}");
            let line = place(&nested(open, close, 25)).map(|(line, _)| line);
            assert_eq!(line, Some(2), "{open}");
        }
    }

    #[test]
    fn bodies_references_and_texts_do_not_count() {
        let bodies = format!("a if {{ {} true {} }}", "every x in xs { ".repeat(50), "}".repeat(50));
        let references = format!("a := b{}", "[x[0]]".repeat(50));
        let quoted = format!("a := \"{0}\" # {0}\nb := `{0}`", "[".repeat(50));
        let calls = format!("a := {}1{}", "f(".repeat(50), ")".repeat(50));
        for text in [bodies, references, quoted, calls] {
            assert_eq!(place(&text), None, "{text}");
        }
    }
}
