//! Rewrites modules so that the virtual machine evaluates them correctly.
//!
//! The machine treats an assignment of an undefined value as true, collects undefined terms, and treats every
//! `every` as true. These are rewritten to forms that it evaluates as the interpreter does: `x := f(y)`
//! becomes `x := f(y); x == x`, `[f(x) | q]` becomes `[f(x) | q; f(x) == f(x)]`, and `every x in xs { p(x) }`
//! becomes `count({key | some key, x in xs; p(x)}) == count(xs)`.

use regorus::unstable::{Expr, Literal, Module};

use crate::calls;

/// An edit of a text: start, end, replacement.
type Edit = (usize, usize, String);

/// The module's text in these forms; `None` if a statement cannot be rewritten.
pub(crate) fn machine_form(module: &Module) -> Option<String> {
    let text = module.package.span.source.contents();
    let parts = calls::parts(module);
    let mut edits: Vec<Edit> = Vec::new();
    for (number, statement) in parts.statements.iter().enumerate() {
        match &statement.literal {
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { lhs, rhs, .. } = expr.as_ref() {
                    let known = [lhs, rhs].into_iter().filter_map(|side| match side.as_ref() {
                        Expr::Var { span, .. } if span.text() != "_" => Some(span.text()),
                        _ => None,
                    });
                    let known: Vec<String> = known.map(|name| format!("\n{name} == {name}")).collect();
                    let mut end = place(statement.span.end)?;
                    // The place of a quoted text ends before its quote.
                    end += usize::from(text.get(end..)?.starts_with(['"', '`']));
                    edits.push((end, end, known.concat() + "\n"));
                }
            }
            Literal::Every { .. } => edits.extend(every(text, &statement.literal, number)?),
            Literal::SomeVars { .. } | Literal::SomeIn { .. } | Literal::NotExpr { .. } => {}
        }
    }
    for (span, term) in parts.comprehensions {
        let end = place(span.end)?;
        if !text.get(..end)?.ends_with([']', '}']) {
            return None;
        }
        if !matches!(term, Expr::Var { .. } | Expr::String { .. } | Expr::Number { .. } | Expr::Bool { .. }) {
            let term = term.span().text();
            edits.push((end - 1, end - 1, format!("\n{term} == {term}\n")));
        }
    }
    written(text, edits)
}

fn every(text: &str, literal: &Literal, number: usize) -> Option<[Edit; 3]> {
    let Literal::Every { span, key, value, domain, query } = literal else { return None };
    let (start, end) = (place(span.start)?, place(span.end)?);
    let (domain_start, domain_end) = (place(domain.span().start)?, place(domain.span().end)?);
    let body = place(query.span.start)?;
    let between = text.get(domain_end..body)?;
    if !text.get(..end)?.ends_with('}') || !text.get(body..)?.starts_with('{') || !between.trim().is_empty() {
        return None;
    }
    let domain = text.get(domain_start..domain_end)?;
    let unused = format!("every_key_{number}");
    let key = key.as_ref().map_or(unused.as_str(), |key| key.text());
    Some([
        (start, domain_start, format!("count({{{key} | some {key}, {} in ", value.text())),
        (domain_end, body + 1, "\n".to_owned()),
        (end - 1, end, format!("}}) == count({domain})")),
    ])
}

fn written(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|(start, end, _)| (*start, *end));
    let (mut out, mut done) = (String::with_capacity(text.len() * 2), 0);
    for (start, end, instead) in edits {
        out.push_str(text.get(done..start)?);
        out.push_str(&instead);
        done = end;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}

fn place(offset: u32) -> Option<usize> {
    usize::try_from(offset).ok()
}
