//! Policies compiled for the engine's virtual machine, where it agrees with the interpreter.
//!
//! The machine bounds built-ins only by time and instructions, and cannot evaluate `with`. Therefore only
//! these policies are compiled: Weir's own, whose calls stay far within the bounds, and those of others that
//! call none of the bounded functions and refer to no other package. All other policies, and evaluations on
//! which the machine fails, are interpreted.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use regorus::{
    CompiledPolicy, Value,
    languages::rego::compiler::Compiler,
    rvm::{Program, RegoVM, vm::VmError},
    utils::limits::ExecutionTimerConfig,
};

use crate::{EngineError, Limits, policy::Entry};

/// Maximum number of instructions in one evaluation of a rule: about as many as the time limit allows.
/// Counting makes the cut-off deterministic.
const MAX_INSTRUCTIONS: usize = 10_000_000;

/// A policy's rules as a compiled program.
#[derive(Clone)]
pub(crate) struct Compiled {
    program: Arc<Program>,
}

impl Compiled {
    /// Compiles the rules of a policy from its set's modules; `None` if the compiler rejects one.
    pub(crate) fn new(modules: &CompiledPolicy, entries: &[Entry]) -> Option<Self> {
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let compile = || Compiler::compile_from_policy(modules, &paths);
        let program = panic::catch_unwind(AssertUnwindSafe(compile)).ok()?.ok()?;
        program.validate_limits().ok()?;
        Some(Self { program })
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("instructions", &self.program.instructions.len()).finish()
    }
}

/// A virtual machine with a policy's program.
#[derive(Debug)]
pub(crate) struct Machine {
    vm: Box<RegoVM>,
    limits: Limits,
}

impl Machine {
    pub(crate) fn new(compiled: &Compiled, limits: Limits) -> Self {
        let mut vm = Box::new(RegoVM::new());
        vm.load_program(Arc::clone(&compiled.program));
        vm.set_max_instructions(MAX_INSTRUCTIONS);
        vm.set_execution_timer_config(Some(ExecutionTimerConfig {
            limit: limits.time,
            check_interval: crate::engine::CHECK_INTERVAL,
        }));
        // A program without data contradicts none.
        drop(vm.set_data(Value::new_object()));
        Self { vm, limits }
    }

    #[cfg(test)]
    pub(crate) fn data(&mut self, data: Value) {
        drop(self.vm.set_data(data));
    }

    pub(crate) fn input(&mut self, input: Value) {
        self.vm.set_input(input);
    }

    /// The value of a rule for the current input; `None` if the machine fails and the interpreter should be
    /// used.
    pub(crate) fn rule(&mut self, path: &str) -> Option<Result<Value, EngineError>> {
        let vm = &mut self.vm;
        let answer = panic::catch_unwind(AssertUnwindSafe(|| vm.execute_entry_point_by_name(path)));
        match answer.ok()? {
            Ok(value) => Some(Ok(value)),
            Err(VmError::TimeLimitExceeded { .. } | VmError::InstructionLimitExceeded { .. }) => {
                Some(Err(EngineError::TooSlow(self.limits.time)))
            }
            Err(_) => None,
        }
    }
}

/// Texts of Weir's own modules, which are compiled regardless of their calls.
pub(crate) fn own_texts() -> BTreeSet<&'static str> {
    crate::own().into_iter().map(|(_, text)| text).collect()
}
