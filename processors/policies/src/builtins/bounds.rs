//! Bounds of the arguments of built-in functions.

use regorus::Value;

use super::{is_late, text_of, whole};

/// Maximum number of elements of a generated range, array, or list of addresses.
const MAX_ELEMENTS: i64 = 1_000_000;
/// Maximum length of a generated text, in bytes.
const MAX_TEXT: usize = 16 << 20;
/// Maximum number of bits of a shifted number.
const MAX_SHIFT: i64 = 1 << 16;
/// Maximum number of bits of a product, and of a number that is written as text.
const MAX_BITS: u64 = 1 << 20;
/// Maximum number of digits of a number that is read: reading takes time by their square.
const MAX_DIGITS: usize = 10_000;
/// Maximum length of a text that is read as JSON, in bytes. Its values take up to 30 times as much.
const MAX_JSON: usize = 4 << 20;
/// Maximum number of nodes of a document that is written as text, and of the steps of its paths.
const MAX_NODES: usize = 2_000_000;
/// Maximum number of comparisons within one call.
const MAX_PAIRS: usize = 10_000_000;
/// Length from which the matches of a pattern in a text are timed, in bytes.
const LONG_TEXT: usize = 4_096;

/// The reason for which arguments are refused, or what replaces them.
type Checked = Result<Option<Vec<Value>>, String>;

pub(super) fn range(given: &[Value]) -> Checked {
    let is_number = |value: &Value| value.as_number().is_ok();
    if !given.iter().take(2).all(is_number) {
        return Ok(None);
    }
    let (Some(from), Some(to)) = (whole(&given[0]), whole(&given[1])) else {
        return Err("its ends are out of range".into());
    };
    let step = given.get(2).and_then(whole).unwrap_or(1).max(1);
    match to.checked_sub(from).and_then(i64::checked_abs) {
        Some(distance) if distance / step < MAX_ELEMENTS => Ok(None),
        _ => Err(format!("it would have more than {MAX_ELEMENTS} elements")),
    }
}

pub(super) fn shift(given: &[Value]) -> Checked {
    if given[1].as_number().is_ok() && whole(&given[1]).is_none_or(|bits| bits > MAX_SHIFT) {
        return Err(format!("it would shift by more than {MAX_SHIFT} bits"));
    }
    Ok(None)
}

pub(super) fn expand(given: &[Value]) -> Checked {
    let Ok(text) = given[0].as_string() else { return Ok(None) };
    let Some((address, prefix)) = text.split_once('/') else { return Ok(None) };
    let width: u32 = if address.contains(':') { 128 } else { 32 };
    let host_bits = width.saturating_sub(prefix.parse().unwrap_or(width));
    if host_bits > 19 { Err(format!("it would have more than {MAX_ELEMENTS} elements")) } else { Ok(None) }
}

fn bounded(bytes: usize) -> Checked {
    if bytes > MAX_TEXT { Err(format!("its text would be longer than {MAX_TEXT} bytes")) } else { Ok(None) }
}

/// Texts that are encoded: three bytes for each at most.
pub(super) fn encoded(given: &[Value]) -> Checked {
    bounded(text_of(&given[0]).map_or(0, |text| text.len().saturating_mul(3)))
}

pub(super) fn concat(given: &[Value]) -> Checked {
    let separator = text_of(&given[0]).map_or(0, str::len);
    let (mut bytes, mut count) = (0_usize, 0_usize);
    let mut add = |value: &Value| {
        bytes = bytes.saturating_add(text_of(value).map_or(0, str::len));
        count += 1;
    };
    match &given[1] {
        Value::Array(values) => values.iter().for_each(&mut add),
        Value::Set(values) => values.iter().for_each(&mut add),
        _ => {}
    }
    bounded(bytes.saturating_add(separator.saturating_mul(count)))
}

pub(super) fn replace(given: &[Value]) -> Checked {
    let [Some(text), Some(old), Some(new)] = [0, 1, 2].map(|at| text_of(&given[at])) else { return Ok(None) };
    let places = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
    bounded(text.len().saturating_add(places.saturating_mul(new.len())))
}

pub(super) fn replace_n(given: &[Value]) -> Checked {
    let (Ok(pairs), Some(text)) = (given[0].as_object(), text_of(&given[1])) else { return Ok(None) };
    // Each pair may multiply the text by the length of its replacement.
    let bytes = pairs.values().filter_map(text_of).fold(text.len(), |bytes, new| {
        if bytes > MAX_TEXT { bytes } else { bytes.saturating_mul(new.len().max(1)) }
    });
    let longest = pairs.values().filter_map(text_of).map(str::len).max().unwrap_or(0);
    bounded(if longest <= 64 && text.len() <= 1 << 12 { 0 } else { bytes })
}

pub(super) fn regex_replace(given: &[Value]) -> Checked {
    let [Some(text), Some(new)] = [0, 2].map(|at| text_of(&given[at])) else { return Ok(None) };
    bounded(text.len().saturating_add((text.len() + 1).saturating_mul(new.len())) / 64)?;
    in_time(&given[1], text, usize::MAX)
}

/// Matches of a pattern in a text, in a third parameter limited.
pub(super) fn regex_matches(given: &[Value]) -> Checked {
    let Some(text) = text_of(&given[1]) else { return Ok(None) };
    let at_most = given.get(2).and_then(whole).and_then(|count| usize::try_from(count).ok());
    in_time(&given[0], text, at_most.unwrap_or(usize::MAX))
}

/// Each match may read the text to its end. The engine looks for all of them without a look at the clock.
fn in_time(pattern: &Value, text: &str, at_most: usize) -> Checked {
    let Some(pattern) = text_of(pattern).filter(|_| text.len() > LONG_TEXT) else { return Ok(None) };
    // The engine reports a pattern that is none.
    let Ok(pattern) = regex::Regex::new(pattern) else { return Ok(None) };
    for _ in pattern.find_iter(text).take(at_most) {
        if is_late() {
            return Err("its matches take longer than the policy may".into());
        }
    }
    Ok(None)
}

/// Parts of a text.
pub(super) fn split(given: &[Value]) -> Checked {
    let (Some(text), Some(by)) = (text_of(&given[0]), text_of(&given[1])) else { return Ok(None) };
    let parts = if by.is_empty() { text.len() } else { text.matches(by).count() + 1 };
    at_most(parts)
}

fn at_most(elements: usize) -> Checked {
    if i64::try_from(elements).is_ok_and(|count| count <= MAX_ELEMENTS) {
        Ok(None)
    } else {
        Err(format!("it would have more than {MAX_ELEMENTS} elements"))
    }
}

/// Comparisons of every element of one list with every element of another.
pub(super) fn pairs(given: &[Value]) -> Checked {
    let [one, other] = [0, 1].map(|at| match &given[at] {
        Value::Array(values) => values.len(),
        Value::Set(values) => values.len(),
        _ => 1,
    });
    if one.saturating_mul(other) > MAX_PAIRS {
        return Err(format!("it would compare more than {MAX_PAIRS} pairs"));
    }
    Ok(None)
}

/// Every value within another, with its path.
pub(super) fn walk(given: &[Value]) -> Checked {
    fn steps(value: &Value, depth: usize, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1 + depth) else { return false };
        *left = rest;
        match value {
            Value::Array(values) => values.iter().all(|below| steps(below, depth + 1, left)),
            Value::Set(values) => values.iter().all(|below| steps(below, depth + 1, left)),
            Value::Object(members) => members.values().all(|below| steps(below, depth + 1, left)),
            _ => true,
        }
    }
    if steps(&given[0], 0, &mut { MAX_NODES }) {
        Ok(None)
    } else {
        Err(format!("the paths of the value have more than {MAX_NODES} steps"))
    }
}

/// The paths of a graph, of which a small one may have very many.
pub(super) fn paths(given: &[Value]) -> Checked {
    fn follow<'a>(graph: &'a Value, node: &'a Value, path: &mut Vec<&'a Value>, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1 + path.len()) else { return false };
        *left = rest;
        if path.contains(&node) {
            return true;
        }
        path.push(node);
        let is_bounded = match graph.as_object().ok().and_then(|edges| edges.get(node)) {
            Some(Value::Array(next)) => next.iter().all(|next| follow(graph, next, path, left)),
            Some(Value::Set(next)) => next.iter().all(|next| follow(graph, next, path, left)),
            _ => true,
        };
        path.pop();
        is_bounded
    }
    let mut left = MAX_NODES;
    let mut from = |node| follow(&given[0], node, &mut Vec::new(), &mut left);
    let is_bounded = match &given[1] {
        Value::Array(nodes) => nodes.iter().all(&mut from),
        Value::Set(nodes) => nodes.iter().all(&mut from),
        _ => true,
    };
    if is_bounded { Ok(None) } else { Err(format!("the graph's paths have more than {MAX_NODES} steps")) }
}

/// A product of numbers, which has as many digits as they have together.
pub(super) fn product(given: &[Value]) -> Checked {
    let all: u64 = match &given[0] {
        Value::Array(values) => values.iter().map(bits).fold(0, u64::saturating_add),
        Value::Set(values) => values.iter().map(bits).fold(0, u64::saturating_add),
        _ => 0,
    };
    if all > MAX_BITS { Err(format!("it would have more than {MAX_BITS} bits")) } else { Ok(None) }
}

/// A text that is read as a number.
pub(super) fn digits(given: &[Value]) -> Checked {
    if text_of(&given[0]).is_some_and(|text| text.len() > MAX_DIGITS) {
        return Err(format!("its text is longer than {MAX_DIGITS} bytes"));
    }
    Ok(None)
}

/// A text that is read as JSON.
pub(super) fn json(given: &[Value]) -> Checked {
    let Some(text) = text_of(&given[0]) else { return Ok(None) };
    if text.len() > MAX_JSON {
        return Err(format!("its text is longer than {MAX_JSON} bytes"));
    }
    if text.split(|symbol: char| !symbol.is_ascii_digit()).any(|digits| digits.len() > MAX_DIGITS) {
        return Err(format!("a number of its text has more than {MAX_DIGITS} digits"));
    }
    Ok(None)
}

/// Arguments that need no look: the size of the result counts.
#[expect(clippy::unnecessary_wraps, reason = "a check like the others")]
pub(super) fn anything(_: &[Value]) -> Checked {
    Ok(None)
}

/// Bits of a whole number.
fn bits(value: &Value) -> u64 {
    let Value::Number(number) = value else { return 0 };
    match number.as_u64() {
        Some(small) => u64::from(u64::BITS - small.leading_zeros()),
        None => number.as_big().map_or(64, |large| large.bits()),
    }
}

pub(super) fn elements(given: &[Value]) -> Checked {
    let count =
        given.iter().filter_map(|value| value.as_array().ok()).map(regorus::value::Array::len).sum::<usize>();
    if i64::try_from(count).is_ok_and(|count| count <= MAX_ELEMENTS) {
        Ok(None)
    } else {
        Err(format!("it would have more than {MAX_ELEMENTS} elements"))
    }
}

pub(super) fn nodes(given: &[Value]) -> Checked {
    let mut left = MAX_NODES;
    if given.iter().all(|value| count(value, &mut left)) {
        Ok(None)
    } else {
        Err("the value is too large".into())
    }
}

/// Counts nodes down, and texts by their length. False when the limit is exceeded; shared parts count each
/// time.
pub(crate) fn count(value: &Value, left: &mut usize) -> bool {
    let cost = match value {
        Value::String(text) => 1 + text.len() / 16,
        Value::Number(_) if bits(value) > MAX_BITS => return false,
        _ => 1,
    };
    let Some(rest) = left.checked_sub(cost) else { return false };
    *left = rest;
    match value {
        Value::Array(values) => values.iter().all(|below| count(below, left)),
        Value::Set(values) => values.iter().all(|below| count(below, left)),
        Value::Object(members) => members.iter().all(|(key, below)| count(key, left) && count(below, left)),
        _ => true,
    }
}

/// `sprintf` as in OPA and Go: `%!v(MISSING)` for a verb without a value.
pub(super) fn sprintf(given: &[Value]) -> Checked {
    let (Some(format), Ok(values)) = (text_of(&given[0]), given[1].as_array()) else { return Ok(None) };
    let mut left = MAX_NODES;
    if !count(&given[1], &mut left) {
        return Err("its values are too large".into());
    }
    let (mut out, mut rest, mut verbs, mut is_changed) = (String::new(), format, 0_usize, false);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let flags = rest[1..].find(|symbol: char| !"+-# 0123456789.".contains(symbol));
        let Some(flags) = flags else { break };
        let (digits, verb) = (&rest[1..=flags], rest[1 + flags..].chars().next().unwrap_or('%'));
        if digits.split(|symbol: char| !symbol.is_ascii_digit()).any(|width| width.len() > 4) {
            return Err("a width or precision of its format has more than four digits".into());
        }
        let end = 1 + flags + verb.len_utf8();
        if verb == '%' {
            out.push_str(&rest[..end]);
        } else if verbs < values.len() {
            out.push_str(&rest[..end]);
            verbs += 1;
        } else {
            out.push_str("%%!");
            out.push(verb);
            out.push_str("(MISSING)");
            is_changed = true;
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    Ok(is_changed.then(|| vec![out.into(), given[1].clone()]))
}
