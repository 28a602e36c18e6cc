//! Wrappers for built-in functions that the engine leaves unbounded or defines differently from OPA.
//!
//! A wrapper checks the arguments first and calls the engine's own function only if the result is bounded. A
//! call beyond the bounds is refused ([`take_refusal`]), and the policy's evaluation is an error.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use regorus::{
    Engine, Source, Value,
    unstable::{BUILTINS, Expr, Ref, Span},
};
use sha2::{Digest, Sha256};

/// Maximum number of elements of a generated range, array, or list of addresses.
const MAX_ELEMENTS: i64 = 1_000_000;
/// Maximum length of a generated text, in bytes.
const MAX_TEXT: usize = 16 << 20;
/// Maximum number of bits of a shifted number.
const MAX_SHIFT: i64 = 1 << 16;
/// Maximum number of nodes of a document that is written as text.
const MAX_NODES: usize = 2_000_000;

thread_local! {
    /// The reason for which a built-in refused its arguments in this thread's evaluation.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Time of this thread's evaluation, in nanoseconds since 1970; `None` leaves the clock to the engine.
    static NOW_NS: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sets the result of `time.now_ns` on this thread, in nanoseconds since 1970.
pub(crate) fn set_now(now_ns: Option<i64>) {
    NOW_NS.set(now_ns);
}

/// Takes the reason of the refusal since the last call, if a built-in refused its arguments.
pub(crate) fn take_refusal() -> Option<String> {
    REFUSED.with(RefCell::take)
}

/// A check of a call's arguments; `Some` replaces the arguments.
type Check = fn(&[Value]) -> Result<Option<Vec<Value>>, String>;

/// The wrapped functions with their numbers of parameters.
const WRAPPED: [(&str, u8, Check); 14] = [
    ("numbers.range", 2, range),
    ("numbers.range_step", 3, range),
    ("bits.lsh", 2, shift),
    ("net.cidr_expand", 1, expand),
    ("sprintf", 2, sprintf),
    ("concat", 2, concat),
    ("replace", 3, replace),
    ("strings.replace_n", 2, replace_n),
    ("regex.replace", 3, regex_replace),
    ("json.marshal", 1, nodes),
    ("json.marshal_with_options", 2, nodes),
    ("array.concat", 2, elements),
    ("format_int", 2, nodes),
    ("base64.encode", 1, nodes),
];

/// Functions that take their result as a last parameter only in OPA's own form, because otherwise a bound
/// would be lost.
pub(crate) const NO_OUTPUT_PARAMETER: [&str; 4] =
    ["numbers.range", "numbers.range_step", "bits.lsh", "net.cidr_expand"];

/// Number of parameters of a built-in function of the engine.
pub(crate) fn parameters(name: &str) -> Option<usize> {
    if name == "print" {
        return Some(usize::MAX);
    }
    BUILTINS.get(name).map(|(_, count)| usize::from(*count))
}

/// Whether the built-in is wrapped.
pub(crate) fn is_wrapped(name: &str) -> bool {
    WRAPPED.iter().any(|(wrapped, ..)| *wrapped == name) || PINNED.iter().any(|(pinned, ..)| *pinned == name)
}

/// Wraps the functions of one engine, except for those in `unwrapped`.
pub(crate) fn wrap(engine: &mut Engine, strict: bool, unwrapped: &BTreeSet<String>) -> anyhow::Result<()> {
    let source = Source::from_contents("built-in".to_owned(), "call".to_owned())?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 4 };
    for (name, count, check) in WRAPPED {
        let Some((function, _)) = BUILTINS.get(name) else { continue };
        if unwrapped.contains(name) {
            continue;
        }
        let span = span.clone();
        let nothing = || Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
        let parameters: Vec<_> = std::iter::repeat_with(nothing).take(usize::from(count)).collect();
        let call = move |given: Vec<Value>| {
            let given = match check(&given) {
                Ok(instead) => instead.unwrap_or(given),
                Err(reason) => {
                    let reason = format!("{name}: {reason}");
                    REFUSED.with(|refused| refused.replace(Some(reason.clone())));
                    anyhow::bail!(reason);
                }
            };
            match function(&span, &parameters, &given, strict) {
                Err(error) if strict => Err(error),
                answer => Ok(answer.unwrap_or(Value::Undefined)),
            }
        };
        engine.add_extension(name.to_owned(), count, Box::new(call))?;
    }
    for (name, count, call) in PINNED {
        let Some((function, _)) = BUILTINS.get(name) else { continue };
        let span = span.clone();
        let nothing = || Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
        let parameters: Vec<_> = std::iter::repeat_with(nothing).take(usize::from(count)).collect();
        let pinned = move |given: Vec<Value>| match NOW_NS.get().and_then(|now_ns| call(now_ns, &given)) {
            Some(value) => Ok(value),
            None => match function(&span, &parameters, &given, strict) {
                Err(error) if strict => Err(error),
                answer => Ok(answer.unwrap_or(Value::Undefined)),
            },
        };
        if !unwrapped.contains(name) {
            engine.add_extension(name.to_owned(), count, Box::new(pinned))?;
        }
    }
    Ok(())
}

/// A built-in with a result that depends on the clock or on chance, pinned to the evaluation's time; `None`
/// if its arguments are of a wrong type.
type Pinned = fn(i64, &[Value]) -> Option<Value>;

/// Functions that are pinned to the evaluation's time if one is given, so that a replay decides as the first
/// run did.
const PINNED: [(&str, u8, Pinned); 3] = [
    ("time.now_ns", 0, |now_ns, _| Some(now_ns.into())),
    ("rand.intn", 2, |now_ns, given| {
        let (key, below) = (text_of(&given[0])?, u64::try_from(whole(&given[1])?).ok()?);
        let number = u64::from_be_bytes(digest(now_ns, key)[..8].try_into().ok()?);
        (below > 0).then(|| Value::from(number % below))
    }),
    ("uuid.rfc4122", 1, |now_ns, given| {
        let mut bytes = digest(now_ns, text_of(&given[0])?);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = crate::set::hexadecimal(&bytes[..16]);
        Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into())
    }),
];

fn digest(now_ns: i64, key: &str) -> [u8; 32] {
    Sha256::new().chain_update(now_ns.to_be_bytes()).chain_update(key).finalize().into()
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().ok()
}

fn range(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
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

fn shift(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    if given[1].as_number().is_ok() && whole(&given[1]).is_none_or(|bits| bits > MAX_SHIFT) {
        return Err(format!("it would shift by more than {MAX_SHIFT} bits"));
    }
    Ok(None)
}

fn expand(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    let Ok(text) = given[0].as_string() else { return Ok(None) };
    let Some((address, prefix)) = text.split_once('/') else { return Ok(None) };
    let width: u32 = if address.contains(':') { 128 } else { 32 };
    let host_bits = width.saturating_sub(prefix.parse().unwrap_or(width));
    if host_bits > 19 { Err(format!("it would have more than {MAX_ELEMENTS} elements")) } else { Ok(None) }
}

/// The engine's own accessor would make an error, with a backtrace where those are on, for every other value.
fn text_of(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text.as_ref()) } else { None }
}

fn bounded(bytes: usize) -> Result<Option<Vec<Value>>, String> {
    if bytes > MAX_TEXT { Err(format!("its text would be longer than {MAX_TEXT} bytes")) } else { Ok(None) }
}

fn concat(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
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

fn replace(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    let [Some(text), Some(old), Some(new)] = [0, 1, 2].map(|at| text_of(&given[at])) else { return Ok(None) };
    let places = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
    bounded(text.len().saturating_add(places.saturating_mul(new.len())))
}

fn replace_n(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    let (Ok(pairs), Some(text)) = (given[0].as_object(), text_of(&given[1])) else { return Ok(None) };
    // Each pair may multiply the text by the length of its replacement.
    let bytes = pairs.values().filter_map(text_of).fold(text.len(), |bytes, new| {
        if bytes > MAX_TEXT { bytes } else { bytes.saturating_mul(new.len().max(1)) }
    });
    let longest = pairs.values().filter_map(text_of).map(str::len).max().unwrap_or(0);
    bounded(if longest <= 64 && text.len() <= 1 << 12 { 0 } else { bytes })
}

fn regex_replace(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    let [Some(text), Some(new)] = [0, 2].map(|at| text_of(&given[at])) else { return Ok(None) };
    bounded(text.len().saturating_add((text.len() + 1).saturating_mul(new.len())) / 64)
}

fn elements(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
    let count =
        given.iter().filter_map(|value| value.as_array().ok()).map(regorus::value::Array::len).sum::<usize>();
    if i64::try_from(count).is_ok_and(|count| count <= MAX_ELEMENTS) {
        Ok(None)
    } else {
        Err(format!("it would have more than {MAX_ELEMENTS} elements"))
    }
}

fn nodes(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
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
    let cost = 1 + text_of(value).map_or(0, |text| text.len() / 16);
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
fn sprintf(given: &[Value]) -> Result<Option<Vec<Value>>, String> {
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
