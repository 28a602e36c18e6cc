//! Wrappers for built-in functions that the engine leaves unbounded or defines differently from OPA.
//!
//! A wrapper checks the arguments first and calls the engine's own function only if the result is bounded. A
//! call beyond the bounds is refused ([`take_refusal`]), and the policy's evaluation is an error.

mod bounds;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use regorus::{
    Engine, Source, Value,
    unstable::{BUILTINS, Expr, Ref, Span},
    utils::limits::monotonic_now,
};
use sha2::{Digest, Sha256};

pub(crate) use bounds::count;

use crate::Limits;

thread_local! {
    /// The reason for which a built-in refused its arguments in this thread's evaluation.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Bytes that results of built-ins may still have in this thread's evaluation.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// End of this thread's evaluation, by the engine's clock.
    static UNTIL: Cell<Option<Duration>> = const { Cell::new(None) };
    /// Time of this thread's evaluation, in nanoseconds since 1970; `None` leaves the clock to the engine.
    static NOW_NS: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sets the result of `time.now_ns` on this thread, in nanoseconds since 1970.
pub(crate) fn set_now(now_ns: Option<i64>) {
    NOW_NS.set(now_ns);
}

/// Begins an evaluation on this thread.
pub(crate) fn begin(limits: &Limits) {
    REFUSED.take();
    LEFT.set(limits.built_bytes);
    UNTIL.set(monotonic_now().map(|now| now + limits.time));
}

/// Whether this thread's evaluation has taken all of its time.
fn is_late() -> bool {
    UNTIL.get().zip(monotonic_now()).is_some_and(|(until, now)| now > until)
}

/// Takes the reason of the refusal since the last call, if a built-in refused its arguments.
pub(crate) fn take_refusal() -> Option<String> {
    REFUSED.with(RefCell::take)
}

/// A check of a call's arguments; `Some` replaces the arguments.
type Check = fn(&[Value]) -> Result<Option<Vec<Value>>, String>;

/// The wrapped functions with their numbers of parameters.
const WRAPPED: [(&str, u8, Check); 59] = [
    ("numbers.range", 2, bounds::range),
    ("numbers.range_step", 3, bounds::range),
    ("bits.lsh", 2, bounds::shift),
    ("net.cidr_expand", 1, bounds::expand),
    ("sprintf", 2, bounds::sprintf),
    ("concat", 2, bounds::concat),
    ("replace", 3, bounds::replace),
    ("strings.replace_n", 2, bounds::replace_n),
    ("split", 2, bounds::split),
    ("substring", 3, bounds::anything),
    ("upper", 1, bounds::anything),
    ("lower", 1, bounds::anything),
    ("strings.reverse", 1, bounds::anything),
    ("trim", 2, bounds::anything),
    ("trim_left", 2, bounds::anything),
    ("trim_right", 2, bounds::anything),
    ("trim_prefix", 2, bounds::anything),
    ("trim_suffix", 2, bounds::anything),
    ("trim_space", 1, bounds::anything),
    ("indexof_n", 2, bounds::anything),
    ("strings.any_prefix_match", 2, bounds::pairs),
    ("strings.any_suffix_match", 2, bounds::pairs),
    ("regex.replace", 3, bounds::regex_replace),
    ("regex.find_n", 3, bounds::regex_matches),
    ("regex.find_all_string_submatch_n", 3, bounds::regex_matches),
    ("regex.split", 2, bounds::regex_matches),
    ("glob.quote_meta", 1, bounds::anything),
    ("json.marshal", 1, bounds::nodes),
    ("json.marshal_with_options", 2, bounds::nodes),
    ("json.unmarshal", 1, bounds::json),
    ("json.patch", 2, bounds::nodes),
    ("json.filter", 2, bounds::anything),
    ("json.remove", 2, bounds::anything),
    ("object.union", 2, bounds::nodes),
    ("object.union_n", 1, bounds::nodes),
    ("object.keys", 1, bounds::anything),
    ("object.filter", 2, bounds::anything),
    ("object.remove", 2, bounds::anything),
    ("object.subset", 2, bounds::pairs),
    ("array.concat", 2, bounds::elements),
    ("array.slice", 3, bounds::anything),
    ("array.reverse", 1, bounds::anything),
    ("sort", 1, bounds::anything),
    ("union", 1, bounds::anything),
    ("intersection", 1, bounds::anything),
    ("walk", 1, bounds::walk),
    ("graph.reachable_paths", 2, bounds::paths),
    ("product", 1, bounds::product),
    ("to_number", 1, bounds::digits),
    ("format_int", 2, bounds::nodes),
    ("base64.encode", 1, bounds::encoded),
    ("base64.decode", 1, bounds::anything),
    ("base64url.encode", 1, bounds::encoded),
    ("base64url.encode_no_pad", 1, bounds::encoded),
    ("base64url.decode", 1, bounds::anything),
    ("hex.encode", 1, bounds::encoded),
    ("hex.decode", 1, bounds::anything),
    ("urlquery.encode", 1, bounds::encoded),
    ("urlquery.encode_object", 1, bounds::nodes),
];

/// Bytes that an element of a list or object takes, with what it holds itself.
const ELEMENT_BYTES: usize = 64;

/// Wrapped functions that the virtual machine calls without their wrappers: what one returns is hardly larger than its
/// arguments, and its time is in proportion to them.
const BOUNDED_BY_TIME: [&str; 27] = [
    "split",
    "substring",
    "upper",
    "lower",
    "strings.reverse",
    "trim",
    "trim_left",
    "trim_right",
    "trim_prefix",
    "trim_suffix",
    "trim_space",
    "indexof_n",
    "glob.quote_meta",
    "json.patch",
    "json.filter",
    "json.remove",
    "object.keys",
    "object.filter",
    "object.remove",
    "array.slice",
    "array.reverse",
    "sort",
    "union",
    "intersection",
    "base64.decode",
    "base64url.decode",
    "hex.decode",
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

/// Whether the virtual machine may not call the built-in, since only a wrapper bounds it.
pub(crate) fn needs_wrapper(name: &str) -> bool {
    is_wrapped(name) && !BOUNDED_BY_TIME.contains(&name)
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
                Err(reason) => return refuse(name, &reason),
            };
            match function(&span, &parameters, &given, strict) {
                Err(error) if strict => Err(error),
                answer => built(name, answer.unwrap_or(Value::Undefined)),
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

/// Notes the refusal of a call.
fn refuse(name: &str, reason: &str) -> anyhow::Result<Value> {
    let reason = format!("{name}: {reason}");
    REFUSED.with(|refused| refused.replace(Some(reason.clone())));
    anyhow::bail!(reason)
}

/// Counts the result of a call against the bytes that the evaluation may build.
fn built(name: &str, result: Value) -> anyhow::Result<Value> {
    let elements = |count: usize| count.saturating_mul(ELEMENT_BYTES);
    let bytes = match &result {
        Value::String(text) => text.len(),
        Value::Array(values) => elements(values.len()),
        Value::Set(values) => elements(values.len()),
        Value::Object(members) => elements(members.len()),
        _ => 0,
    };
    if let Some(left) = LEFT.get().checked_sub(bytes) {
        LEFT.set(left);
        return Ok(result);
    }
    refuse(name, "the results of built-in functions exceed the memory of one evaluation")
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

/// The engine's own accessor would make an error, with a backtrace where those are on, for every other value.
fn text_of(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text.as_ref()) } else { None }
}
