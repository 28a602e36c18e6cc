//! Calls within loaded modules: finds recursion and unknown functions.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Query, Rule, RuleHead, Span};

use crate::builtins;

/// A call that cannot be evaluated, with its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadCall {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) reason: String,
}

/// Result of checking the modules' calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Calls that cannot be evaluated.
    pub(crate) bad: Vec<BadCall>,
    /// Wrapped built-ins that take a last parameter for their result.
    pub(crate) with_output: BTreeSet<String>,
}

/// A call within a function or rule.
struct Call<'a> {
    path: String,
    parameters: usize,
    span: &'a Span,
}

/// The calls and the statements below a rule.
#[derive(Default)]
struct Below<'a> {
    calls: Vec<Call<'a>>,
    statements: Vec<&'a LiteralStmt>,
    /// Comprehensions, with the terms whose values they collect.
    comprehensions: Vec<(&'a Span, &'a Expr)>,
}

/// The statements of a module, and its array and object comprehensions with their terms, at every depth.
pub(crate) struct Parts<'a> {
    pub(crate) statements: Vec<&'a LiteralStmt>,
    pub(crate) comprehensions: Vec<(&'a Span, &'a Expr)>,
}

/// The parts of a module.
pub(crate) fn parts(module: &Module) -> Parts<'_> {
    let mut below = Below::default();
    module.policy.iter().for_each(|rule| walk_rule(rule, &mut below));
    Parts { statements: below.statements, comprehensions: below.comprehensions }
}

/// Checks every call of the modules.
pub(crate) fn look<'a>(modules: impl Iterator<Item = &'a Module> + Clone) -> Calls {
    let mut functions = BTreeSet::new();
    for module in modules.clone() {
        let package = package_of(module);
        for rule in &module.policy {
            functions.extend(head_path(rule).map(|name| format!("{package}.{name}")));
        }
    }
    let mut found = Calls::default();
    let mut graph: BTreeMap<String, Vec<(String, &Span)>> = BTreeMap::new();
    for module in modules {
        let (package, imports) = (package_of(module), imports_of(module));
        for rule in &module.policy {
            let mut below = Below::default();
            walk_rule(rule, &mut below);
            let calls = below.calls;
            let from = head_path(rule).map(|name| format!("{package}.{name}")).unwrap_or_default();
            for call in calls {
                let target = resolve(&call.path, &package, &imports, &functions);
                if functions.contains(&target) {
                    graph.entry(from.clone()).or_default().push((target, call.span));
                    continue;
                }
                look_at_built_in(&call, &mut found);
            }
        }
    }
    recursion(&graph, &mut found);
    found
}

/// The names of a module's functions.
#[cfg(test)]
pub(crate) fn functions(module: &Module) -> BTreeSet<String> {
    let of_functions = module
        .policy
        .iter()
        .filter(|rule| matches!(rule.as_ref(), Rule::Spec { head: RuleHead::Func { .. }, .. }));
    of_functions.filter_map(|rule| head_path(rule)).collect()
}

/// Whether modules of one package call no bounded built-in and refer to no other package.
pub(crate) fn stand_alone<'a>(mut modules: impl Iterator<Item = &'a Module>) -> bool {
    modules.all(|module| {
        let imports_data = module
            .imports
            .iter()
            .any(|import| dotted(&import.refr).is_none_or(|path| path.starts_with("data.")));
        let mut below = Below::default();
        module.policy.iter().for_each(|rule| walk_rule(rule, &mut below));
        let calls = below.calls;
        let text = module.package.span.source.contents();
        !imports_data
            && module.policy.iter().all(|rule| has_plain_head(rule))
            && !refers_to_data(text)
            && calls.iter().all(|call| call.parameters != usize::MAX && !builtins::needs_wrapper(&call.path))
    })
}

/// Whether a rule's head is a plain name, neither a default nor a path, some of which the virtual machine
/// evaluates wrongly.
fn has_plain_head(rule: &Rule) -> bool {
    match rule {
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => {
                matches!(refr.as_ref(), Expr::Var { .. })
            }
        },
        Rule::Default { .. } => false,
    }
}

/// Whether a text mentions `data` outside of its package line, even in a comment.
fn refers_to_data(text: &str) -> bool {
    let is_name = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
    text.match_indices("data").any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + 4..].chars().next());
        !before.is_some_and(|symbol| is_name(symbol) || symbol == '.' || symbol == '"')
            && matches!(after, Some('.' | '['))
    })
}

fn look_at_built_in(call: &Call<'_>, found: &mut Calls) {
    if call.parameters == usize::MAX {
        return;
    }
    match builtins::parameters(&call.path) {
        None => found.bad.push(bad(call.span, format!("it calls {}, which is unknown", call.path))),
        Some(count) if call.parameters == count.saturating_add(1) && builtins::is_wrapped(&call.path) => {
            if builtins::NO_OUTPUT_PARAMETER.contains(&call.path.as_str()) {
                let reason = format!("write `x := {}(…)` instead of a last parameter", call.path);
                found.bad.push(bad(call.span, reason));
            }
            found.with_output.insert(call.path.clone());
        }
        Some(_) => {}
    }
}

fn bad(span: &Span, reason: String) -> BadCall {
    let place = |number: u32| usize::try_from(number).unwrap_or(0);
    BadCall { file: span.source.file().clone(), line: place(span.line), column: place(span.col), reason }
}

/// Finds recursive functions. They would overflow the engine's stack, which no timer stops.
fn recursion(graph: &BTreeMap<String, Vec<(String, &Span)>>, found: &mut Calls) {
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        let mut path = vec![(start.as_str(), 0_usize)];
        let mut on_path = BTreeSet::from([start.as_str()]);
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            let Some((target, span)) = (!done.contains(node)).then(|| graph.get(node)?.get(*next)).flatten()
            else {
                done.insert(node);
                on_path.remove(node);
                path.pop();
                continue;
            };
            *next += 1;
            if on_path.contains(target.as_str()) {
                let name = target.strip_prefix("data.").unwrap_or(target);
                let reason = format!("{name} calls itself; Rego has no recursion");
                let one = bad(span, reason);
                if !found.bad.contains(&one) {
                    found.bad.push(one);
                }
            } else if graph.contains_key(target) && !done.contains(target.as_str()) {
                on_path.insert(target);
                path.push((target, 0));
            }
        }
    }
}

/// The package of a module, for example `data.main`.
pub(crate) fn package_of(module: &Module) -> String {
    let path = dotted(&module.package.refr).unwrap_or_default();
    if path.starts_with("data.") { path } else { format!("data.{path}") }
}

fn imports_of(module: &Module) -> BTreeMap<String, String> {
    let named = module.imports.iter().filter_map(|import| {
        let path = dotted(&import.refr)?;
        let last = path.rsplit('.').next().unwrap_or(&path).to_owned();
        Some((import.r#as.as_ref().map_or(last, |name| name.text().to_owned()), path))
    });
    named.collect()
}

/// The full path of a called name.
fn resolve(
    path: &str,
    package: &str,
    imports: &BTreeMap<String, String>,
    functions: &BTreeSet<String>,
) -> String {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if let Some(import) = imports.get(first) {
        return rest.map_or_else(|| import.clone(), |rest| format!("{import}.{rest}"));
    }
    let own = format!("{package}.{path}");
    if functions.contains(&own) { own } else { path.to_owned() }
}

/// The name below its package that a function or rule is called by.
pub(crate) fn head_path(rule: &Rule) -> Option<String> {
    match rule {
        Rule::Spec { head: RuleHead::Func { refr, .. }, .. } | Rule::Default { refr, .. } => dotted(refr),
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }, .. } => first(refr),
    }
}

/// The first name of a reference.
fn first(expr: &Expr) -> Option<String> {
    match expr {
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => first(refr),
        _ => dotted(expr),
    }
}

/// A reference of names alone: `data.a.b`, `a["b"]`.
pub(crate) fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Var { span, .. } => Some(span.text().to_owned()),
        Expr::RefDot { refr, field, .. } => Some(format!("{}.{}", dotted(refr)?, field.0.text())),
        Expr::RefBrack { refr, index, .. } => match index.as_ref() {
            Expr::String { value, .. } | Expr::RawString { value, .. } => {
                Some(format!("{}.{}", dotted(refr)?, value.as_string().ok()?))
            }
            _ => None,
        },
        _ => None,
    }
}

fn walk_rule<'a>(rule: &'a Rule, below: &mut Below<'a>) {
    match rule {
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    walk(refr, below);
                    if let Some(assign) = assign {
                        walk(&assign.value, below);
                    }
                }
                RuleHead::Set { refr, key, .. } => {
                    walk(refr, below);
                    if let Some(key) = key {
                        walk(key, below);
                    }
                }
                RuleHead::Func { args, assign, .. } => {
                    for argument in args {
                        walk(argument, below);
                    }
                    if let Some(assign) = assign {
                        walk(&assign.value, below);
                    }
                }
            }
            for body in bodies {
                if let Some(assign) = &body.assign {
                    walk(&assign.value, below);
                }
                walk_query(&body.query, below);
            }
        }
        Rule::Default { value, .. } => walk(value, below),
    }
}

fn walk_query<'a>(query: &'a Query, below: &mut Below<'a>) {
    for statement in &query.stmts {
        below.statements.push(statement);
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                if let Some(key) = key {
                    walk(key, below);
                }
                walk(value, below);
                walk(collection, below);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => walk(expr, below),
            Literal::Every { domain, query, .. } => {
                walk(domain, below);
                walk_query(query, below);
            }
        }
        for with in &statement.with_mods {
            walk(&with.r#as, below);
            // `with f as g` calls g.
            if let Some(path) = dotted(&with.r#as) {
                below.calls.push(Call { path, parameters: usize::MAX, span: &with.span });
            }
        }
    }
}

fn walk<'a>(expr: &'a Expr, below: &mut Below<'a>) {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            for item in items {
                walk(item, below);
            }
        }
        Expr::Object { fields, .. } => {
            for (_, key, value) in fields {
                walk(key, below);
                walk(value, below);
            }
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            if matches!(expr, Expr::ArrayCompr { .. }) {
                below.comprehensions.push((expr.span(), term));
            }
            walk(term, below);
            walk_query(query, below);
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            below.comprehensions.extend([(expr.span(), key.as_ref()), (expr.span(), value.as_ref())]);
            walk(key, below);
            walk(value, below);
            walk_query(query, below);
        }
        Expr::Call { span, fcn, params, .. } => {
            if let Some(path) = dotted(fcn) {
                below.calls.push(Call { path, parameters: params.len(), span });
            }
            for parameter in params {
                walk(parameter, below);
            }
        }
        Expr::UnaryExpr { expr, .. } => walk(expr, below),
        Expr::RefDot { refr, .. } => walk(refr, below),
        Expr::RefBrack { refr, index, .. } => {
            walk(refr, below);
            walk(index, below);
        }
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => {
            walk(lhs, below);
            walk(rhs, below);
        }
        Expr::Membership { key, value, collection, .. } => {
            if let Some(key) = key {
                walk(key, below);
            }
            walk(value, below);
            walk(collection, below);
        }
        // Literals and names call nothing.
        _ => {}
    }
}
