//! The calls of loaded modules: functions that call themselves, and functions that are nowhere.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Module, Query, Rule, RuleHead, Span};

use crate::builtins;

/// A call that cannot be evaluated, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadCall {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) reason: String,
}

/// What the modules call.
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

/// Looks at every call of the modules.
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
            let mut calls = Vec::new();
            walk_rule(rule, &mut calls);
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

/// Whether modules of one package call no bounded built-in and refer to no other package.
pub(crate) fn stand_alone<'a>(mut modules: impl Iterator<Item = &'a Module>) -> bool {
    modules.all(|module| {
        let imports_data = module
            .imports
            .iter()
            .any(|import| dotted(&import.refr).is_none_or(|path| path.starts_with("data.")));
        let mut calls = Vec::new();
        module.policy.iter().for_each(|rule| walk_rule(rule, &mut calls));
        let text = module.package.span.source.contents();
        !imports_data
            && !refers_to_data(text)
            && calls.iter().all(|call| call.parameters != usize::MAX && !builtins::is_wrapped(&call.path))
    })
}

/// Whether a text names `data` outside of its package's line, be it only in a comment.
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

/// Functions that reach themselves. The engine's stack would overflow, which no timer stops.
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

fn walk_rule<'a>(rule: &'a Rule, calls: &mut Vec<Call<'a>>) {
    match rule {
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    walk(refr, calls);
                    if let Some(assign) = assign {
                        walk(&assign.value, calls);
                    }
                }
                RuleHead::Set { refr, key, .. } => {
                    walk(refr, calls);
                    if let Some(key) = key {
                        walk(key, calls);
                    }
                }
                RuleHead::Func { args, assign, .. } => {
                    for argument in args {
                        walk(argument, calls);
                    }
                    if let Some(assign) = assign {
                        walk(&assign.value, calls);
                    }
                }
            }
            for body in bodies {
                if let Some(assign) = &body.assign {
                    walk(&assign.value, calls);
                }
                walk_query(&body.query, calls);
            }
        }
        Rule::Default { value, .. } => walk(value, calls),
    }
}

fn walk_query<'a>(query: &'a Query, calls: &mut Vec<Call<'a>>) {
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                if let Some(key) = key {
                    walk(key, calls);
                }
                walk(value, calls);
                walk(collection, calls);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => walk(expr, calls),
            Literal::Every { domain, query, .. } => {
                walk(domain, calls);
                walk_query(query, calls);
            }
        }
        for with in &statement.with_mods {
            walk(&with.r#as, calls);
            // `with f as g` calls g.
            if let Some(path) = dotted(&with.r#as) {
                calls.push(Call { path, parameters: usize::MAX, span: &with.span });
            }
        }
    }
}

fn walk<'a>(expr: &'a Expr, calls: &mut Vec<Call<'a>>) {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            for item in items {
                walk(item, calls);
            }
        }
        Expr::Object { fields, .. } => {
            for (_, key, value) in fields {
                walk(key, calls);
                walk(value, calls);
            }
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            walk(term, calls);
            walk_query(query, calls);
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            walk(key, calls);
            walk(value, calls);
            walk_query(query, calls);
        }
        Expr::Call { span, fcn, params, .. } => {
            if let Some(path) = dotted(fcn) {
                calls.push(Call { path, parameters: params.len(), span });
            }
            for parameter in params {
                walk(parameter, calls);
            }
        }
        Expr::UnaryExpr { expr, .. } => walk(expr, calls),
        Expr::RefDot { refr, .. } => walk(refr, calls),
        Expr::RefBrack { refr, index, .. } => {
            walk(refr, calls);
            walk(index, calls);
        }
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => {
            walk(lhs, calls);
            walk(rhs, calls);
        }
        Expr::Membership { key, value, collection, .. } => {
            if let Some(key) = key {
                walk(key, calls);
            }
            walk(value, calls);
            walk(collection, calls);
        }
        // Literals and names call nothing.
        _ => {}
    }
}
