//! One Rego engine with Weir's limits.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use regorus::{CompiledPolicy, Engine, LimitError, Value, utils::limits::ExecutionTimerConfig};

use crate::{
    builtins,
    calls::{self, Calls},
    machine_form::machine_form,
    nesting, rewrite,
};

/// Number of the machine's instructions between two checks of the clock.
pub(crate) const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Number of the interpreter's steps between two checks of the clock: one may multiply numbers of a million digits.
const STEPS_PER_CHECK: NonZeroU32 = NonZeroU32::MIN;
/// Path of no rule: none has a name without its package.
const NO_RULE: &str = "data";

/// Bounds of one evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time limit for one evaluation of a rule.
    pub time: Duration,
    /// Maximum size of an input document, in bytes.
    pub input_bytes: usize,
    /// Maximum size of a policy file, in bytes.
    pub policy_bytes: usize,
    /// Maximum size of what built-in functions return in one evaluation of a rule, together, in bytes.
    pub built_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(500),
            input_bytes: 64 << 20,
            policy_bytes: 1 << 20,
            built_bytes: 256 << 20,
        }
    }
}

/// The error of loading or evaluating a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The evaluation took longer than [`Limits::time`].
    #[error("the policy was cut off after {0:?}")]
    TooSlow(Duration),
    /// The result of a built-in exceeds its limit.
    #[error("the policy was cut off: {0}")]
    TooLarge(String),
    /// The engine rejected the text, or the policy has conflicting values.
    #[error("{reason}")]
    Rego {
        /// The first line of the engine's message.
        reason: String,
        /// The file, if the engine names one.
        file: Option<String>,
        /// Line and column in the policy, from 1.
        place: Option<(usize, usize)>,
    },
}

impl EngineError {
    fn from_engine(error: &anyhow::Error, limits: &Limits) -> Self {
        if let Some(LimitError::TimeLimitExceeded { .. }) = error.downcast_ref::<LimitError>() {
            return Self::TooSlow(limits.time);
        }
        let text = error.to_string();
        if text.contains("time limit") {
            return Self::TooSlow(limits.time);
        }
        let found = text.lines().find_map(|line| {
            let (_, place) = line.split_once("--> ")?;
            let mut parts = place.trim().rsplitn(3, ':');
            let column = parts.next()?.parse().ok()?;
            let line = parts.next()?.parse().ok()?;
            Some((parts.next()?.to_owned(), (line, column)))
        });
        let (file, place) = found.map_or((None, None), |(file, place)| (Some(file), Some(place)));
        let reason = text.lines().find_map(|line| Some(line.split_once("error: ")?.1.trim().to_owned()));
        Self::Rego { reason: reason.unwrap_or_else(|| text.trim().to_owned()), file, place }
    }

    /// The file that the engine names.
    pub fn file(&self) -> Option<String> {
        if let Self::Rego { file, .. } = self { file.clone() } else { None }
    }

    /// The line that the engine names, from 1.
    pub fn line(&self) -> Option<usize> {
        if let Self::Rego { place, .. } = self { place.map(|(line, _)| line) } else { None }
    }
}

/// The meaning of an error within a built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuiltinErrors {
    /// The call is undefined, as in OPA.
    #[default]
    Undefined,
    /// The evaluation is an error.
    Strict,
}

/// An engine with modules. Cloning shares the modules.
#[derive(Debug, Clone)]
pub struct RegoEngine {
    engine: Engine,
    limits: Limits,
    errors: BuiltinErrors,
    has_data: bool,
}

impl RegoEngine {
    /// An engine without modules.
    pub fn new(limits: Limits, errors: BuiltinErrors) -> Self {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(errors == BuiltinErrors::Strict);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: limits.time,
            check_interval: STEPS_PER_CHECK,
        });
        Self { engine, limits, errors, has_data: false }
    }

    /// The calls of the modules.
    pub(crate) fn calls(&mut self) -> Calls {
        calls::look(self.engine.get_modules().iter().map(AsRef::as_ref))
    }

    /// Checks the calls of the modules, and bounds the built-ins that they use. Call it once, after the last
    /// module.
    ///
    /// # Errors
    /// A function is recursive, or an unknown one is called. Evaluating it could end the process.
    pub fn seal(&mut self) -> Result<(), EngineError> {
        let calls = self.calls();
        if let Some(bad) = calls.bad.first() {
            return Err(EngineError::Rego {
                reason: bad.reason.clone(),
                file: Some(bad.file.clone()),
                place: Some((bad.line, bad.column)),
            });
        }
        self.bound(&calls)
    }

    pub(crate) fn bound(&mut self, calls: &Calls) -> Result<(), EngineError> {
        let strict = self.errors == BuiltinErrors::Strict;
        builtins::wrap(&mut self.engine, strict, &calls.with_output)
            .map_err(|error| EngineError::from_engine(&error, &self.limits))
    }

    /// The rules of the last module that was added, with their names below its package.
    pub(crate) fn last_rules(&mut self) -> BTreeSet<String> {
        let last = self.engine.get_modules().last();
        last.map(|module| module.policy.iter().filter_map(|rule| calls::head_path(rule.as_ref())).collect())
            .unwrap_or_default()
    }

    /// The functions of the last module that was added, with their names below its package.
    #[cfg(test)]
    pub(crate) fn last_functions(&mut self) -> BTreeSet<String> {
        let last = self.engine.get_modules().last();
        last.map(|module| calls::functions(module)).unwrap_or_default()
    }

    /// The modules compiled for a rule, as the virtual machine's compiler reads them.
    pub(crate) fn compiled_policy(&mut self, path: &str) -> Result<CompiledPolicy, EngineError> {
        self.guarded(|engine| engine.compile_with_entrypoint(&path.into()))
    }

    /// Adds a module, rewritten so that the virtual machine evaluates it correctly.
    pub(crate) fn add_for_machine(&mut self, file: &str, text: &str) -> Option<()> {
        let mut reader = Self::new(self.limits, self.errors);
        reader.add_v1(file, text).ok()?;
        let form = machine_form(reader.engine.get_modules().last()?)?;
        self.engine.set_rego_v0(false);
        self.engine.add_policy(file.to_owned(), form).ok().map(drop)
    }

    /// Whether modules of a package are self-contained: they call no bounded built-in, use no `with`, and
    /// refer to no other package.
    pub(crate) fn stands_alone(&mut self, package: &str) -> bool {
        let modules = self.engine.get_modules();
        let of_package =
            modules.iter().map(AsRef::as_ref).filter(|module| calls::package_of(module) == package);
        calls::stand_alone(of_package)
    }

    /// Compiles the modules for a rule, for example `data.main.deny`; an empty path compiles nothing.
    pub(crate) fn compile_rule(&mut self, path: &str) -> Result<(), EngineError> {
        if path.is_empty() {
            return Ok(());
        }
        self.guarded(|engine| engine.compile_with_entrypoint(&path.into()).map(|_| ()))
    }

    /// Whether data was added.
    pub(crate) fn has_data(&self) -> bool {
        self.has_data
    }

    /// Sets the input of the following evaluations.
    pub(crate) fn input(&mut self, input: Value) {
        self.engine.set_input(input);
    }

    /// The value of a rule for the input that was set.
    pub(crate) fn rule_of_input(&mut self, path: &str) -> Result<Value, EngineError> {
        self.guarded(|engine| engine.eval_rule(path.to_owned()))
    }

    /// Drops the values of the last evaluation.
    pub(crate) fn forget(&mut self) {
        self.engine.set_input(Value::Undefined);
        // An evaluation begins by dropping them. That of no rule ends there; a query would be parsed and scheduled first,
        // which takes half a millisecond.
        drop(self.guarded(|engine| engine.eval_rule(NO_RULE.to_owned())));
    }

    /// Adds a module: Rego v1, or else v0. Returns its package, for example `data.main`.
    ///
    /// # Errors
    /// The text is neither; the reason is that of v1, unless the text uses v0's form of rules.
    pub fn add(&mut self, file: &str, text: &str) -> Result<String, EngineError> {
        let first = match self.add_v1(file, text) {
            Ok(package) => return Ok(package),
            Err(error) => error,
        };
        self.add_v0(file, text).map_err(|second| {
            let wants_if = matches!(&first, EngineError::Rego { reason, .. } if reason.contains("`if`"));
            if wants_if { second } else { first }
        })
    }

    /// Adds a module of Rego v1. Returns its package.
    ///
    /// # Errors
    /// The text is not valid Rego v1, or its literals are nested too deep to be parsed.
    pub fn add_v1(&mut self, file: &str, text: &str) -> Result<String, EngineError> {
        nesting::check(file, text)?;
        self.engine.set_rego_v0(false);
        self.engine
            .add_policy(file.to_owned(), rewrite::negations(text))
            .map_err(|error| EngineError::from_engine(&error, &self.limits))
    }

    /// Adds a module of Rego v0. Returns its package.
    ///
    /// # Errors
    /// The text is not valid Rego v0, or its literals are nested too deep to be parsed.
    pub fn add_v0(&mut self, file: &str, text: &str) -> Result<String, EngineError> {
        nesting::check(file, text)?;
        self.engine.set_rego_v0(true);
        let added = self.engine.add_policy(file.to_owned(), rewrite::negations(&rewrite::v0(text)));
        self.engine.set_rego_v0(false);
        added.map_err(|error| EngineError::from_engine(&error, &self.limits))
    }

    /// Adds a document below `data`.
    ///
    /// # Errors
    /// It is not an object, or conflicts with existing data.
    pub fn add_data(&mut self, data: Value) -> Result<(), EngineError> {
        self.has_data = true;
        self.engine.add_data(data).map_err(|error| EngineError::from_engine(&error, &self.limits))
    }

    /// The value of a rule, for example `data.main.deny`; `Value::Undefined` if it has none.
    ///
    /// # Errors
    /// The evaluation timed out, the modules do not compile, or the rule has several values.
    pub fn rule(&mut self, path: &str, input: Value) -> Result<Value, EngineError> {
        self.guarded(|engine| {
            engine.set_input(input);
            engine.eval_rule(path.to_owned())
        })
    }

    /// Runs the engine; turns a panic and a refusal of a built-in into errors.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Engine) -> anyhow::Result<T>) -> Result<T, EngineError> {
        builtins::begin(&self.limits);
        let engine = &mut self.engine;
        let answer = panic::catch_unwind(AssertUnwindSafe(|| run(engine)));
        if let Some(reason) = builtins::take_refusal() {
            return Err(EngineError::TooLarge(reason));
        }
        match answer {
            Ok(answer) => answer.map_err(|error| EngineError::from_engine(&error, &self.limits)),
            Err(_) => {
                Err(EngineError::Rego { reason: "the engine failed on it".into(), file: None, place: None })
            }
        }
    }

    /// The bindings of a query.
    ///
    /// # Errors
    /// As [`rule`](Self::rule).
    pub fn query(&mut self, query: &str, input: Value) -> Result<regorus::QueryResults, EngineError> {
        self.guarded(|engine| {
            engine.set_input(input);
            engine.eval_query(query.to_owned(), false)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Value, EngineError> {
        let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
        let mut engine = RegoEngine::new(limits, BuiltinErrors::Undefined);
        engine.add("policy.rego", text)?;
        engine.seal()?;
        engine.rule("data.a.deny", Value::new_object())
    }

    #[test]
    fn both_versions_are_read() {
        for text in
            ["package a\ndeny contains \"x\" if true\n", "package a\ndeny[\"x\"] { true } { false }\n"]
        {
            assert_eq!(
                run(text).map(|found| found.as_set().map_or(0, regorus::value::Set::len)),
                Ok(1),
                "{text}"
            );
        }
    }

    #[test]
    fn an_error_names_its_place() {
        let error = run("package a\n\ndeny contains 1 if )\n").expect_err("no Rego");
        assert!(matches!(&error, EngineError::Rego { place: Some((3, _)), .. }), "{error:?}");
    }

    #[test]
    fn a_policy_that_runs_away_is_cut_off() {
        let text = "package a\nn := numbers.range(1, 400)\n\
                    deny contains 1 if { some x in n; some y in n; some z in n; x + y + z == -1 }\n";
        assert_eq!(run(text), Err(EngineError::TooSlow(Duration::from_millis(50))));
    }

    #[test]
    fn an_error_of_a_built_in_is_undefined() {
        let text = "package a\ndeny contains 1 if { to_number(\"x\") }\n";
        assert_eq!(run(text).map(|found| found.as_set().map_or(9, regorus::value::Set::len)), Ok(0));
    }

    #[test]
    fn what_would_end_the_process_is_refused() {
        let recursive = "package a\nf(x) := f(x + 1)\ndeny contains 1 if f(1)\n";
        assert!(matches!(run(recursive), Err(EngineError::Rego { place: Some((2, _)), .. })));
        let mutual = "package a\nf(x) := g(x)\ng(x) := data.a.f(x)\ndeny contains 1 if f(1)\n";
        assert!(matches!(run(mutual), Err(EngineError::Rego { .. })), "{:?}", run(mutual));
        let replaced = "package a\nf(x) := x\ng(x) := f(x) with f as g\ndeny contains 1 if g(1)\n";
        assert!(matches!(run(replaced), Err(EngineError::Rego { .. })), "{:?}", run(replaced));
        let nowhere = "package a\ndeny contains 1 if nowhere.at_all(1)\n";
        assert!(matches!(run(nowhere), Err(EngineError::Rego { place: Some((2, _)), .. })));
    }

    #[test]
    fn a_built_in_that_would_make_too_much_is_cut_off() {
        for call in [
            "numbers.range(1, 1000000000000)",
            "numbers.range_step(0, 1000000000000, 2)",
            "bits.lsh(1, 1000000000000)",
            "sprintf(\"%1000000000d\", [1])",
            "net.cidr_expand(\"10.0.0.0/1\")",
            "not numbers.range(0, 99999999)",
        ] {
            let text = format!("package a\ndeny contains 1 if {{ {call} }}\n");
            assert!(matches!(run(&text), Err(EngineError::TooLarge(_))), "{call}: {:?}", run(&text));
        }
        let doubled: String = (1..60)
            .map(|n| format!("x{n} := concat(\"\", [x{0}, x{0}])\n", n - 1))
            .collect::<Vec<_>>()
            .concat();
        let text = format!("package a\nx0 := \"0123456789\"\n{doubled}deny contains x59\n");
        assert!(run(&text).is_err());
    }

    #[test]
    fn a_format_with_too_few_values_says_so() {
        let text = "package a\ndeny contains sprintf(\"%v <%s> 100%%\", [1])\n";
        let found = run(text).expect("evaluated");
        assert!(found.as_set().is_ok_and(|set| set.contains(&"1 <%!s(MISSING)> 100%".into())), "{found:?}");
    }
}
