//! Policy sets: loading of policies from files, with the faults of rejected ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::{
    BuiltinErrors, Fault, Limits, Policy, RegoEngine, Subject, annotations,
    compiled::{self, Compiled},
    declared::{Module, constrained, entries, policies},
    gatekeeper::{self, Constraint, Template},
    own,
    paths::Paths,
    policy::Form,
    suite,
};

/// Configuration of loading and evaluation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// Bounds of files and evaluations.
    pub limits: Limits,
    /// Meaning of errors within built-ins.
    pub errors: BuiltinErrors,
    /// Engine that evaluates policies.
    pub execution: Execution,
}

/// Engine that evaluates policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// The virtual machine for policies on which it agrees with the interpreter, the interpreter for the
    /// others.
    #[default]
    Compiled,
    /// The interpreter alone.
    Interpreted,
}

/// Usable policies, and the faults of the others.
#[derive(Debug, Clone)]
pub struct PolicySet {
    pub(crate) policies: Vec<Policy>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) engines: Vec<RegoEngine>,
    pub(crate) tests: Vec<(String, String)>,
    pub(crate) cases: Vec<(String, String)>,
    pub(crate) modules: Vec<(String, String)>,
    pub(crate) config: Config,
    hash: Arc<str>,
    is_own: bool,
    /// Policies by the resource type that they evaluate.
    by_type: BTreeMap<String, OfType>,
    /// Indices of the policies that evaluate every document or object.
    of_every_type: Vec<usize>,
}

/// The policies of a resource type.
#[derive(Debug, Clone, Default)]
struct OfType {
    /// Their indices.
    places: Vec<usize>,
    /// The paths that they read.
    paths: Paths,
}

impl PolicySet {
    /// A set without policies.
    pub fn empty() -> Self {
        Self::load([], Config::default())
    }

    /// Weir's own policies.
    pub fn own(config: Config) -> Self {
        Self { is_own: true, ..Self::load(own::own(), config) }
    }

    /// Whether all policies are Weir's own.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Loads `.rego` modules, and ConstraintTemplates and constraints from YAML and JSON. An invalid file is
    /// rejected with a fault; the others are loaded.
    pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, config: Config) -> Self {
        let mut set = Self {
            policies: Vec::new(),
            faults: Vec::new(),
            engines: Vec::new(),
            tests: Vec::new(),
            cases: Vec::new(),
            modules: Vec::new(),
            config,
            hash: Arc::default(),
            is_own: false,
            by_type: BTreeMap::new(),
            of_every_type: Vec::new(),
        };
        let (mut modules, mut documents, mut digest) = (Vec::new(), Vec::new(), Sha256::new());
        for (file, text) in files {
            digest.update(Sha256::digest(file));
            digest.update(Sha256::digest(text));
            if text.len() > config.limits.policy_bytes {
                let reason = format!("it has {} bytes, more than {}", text.len(), config.limits.policy_bytes);
                set.faults.push(Fault::new(file, None, reason));
            } else if suite::is_table(file) {
                set.cases.push((file.to_owned(), text.to_owned()));
            } else if has_extension(file, &["rego"]) {
                modules.extend(set.module(file, text));
            } else {
                documents.push((file, text));
            }
        }
        set.hash = hexadecimal(&digest.finalize()).into();
        set.compile(modules);
        set.templates(&documents);
        set.without_repeated_ids();
        set.index();
        set.faults.sort();
        set
    }

    /// The policies, in the order of files and packages.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Faults of rejected files and parts.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// SHA-256 over names and texts of all files, in hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// [`hash`](Self::hash), not copied: a stage asks for it with every record.
    pub fn shared_hash(&self) -> Arc<str> {
        Arc::clone(&self.hash)
    }

    /// The policy with an id, a title or a file.
    pub fn find(&self, wanted: &str) -> Option<&Policy> {
        let is_it = |policy: &&Policy| {
            policy.id.eq_ignore_ascii_case(wanted) || policy.title == wanted || policy.file == wanted
        };
        self.policies.iter().find(is_it)
    }

    /// The policies that evaluate resources of a type or kind, with their indices in the set.
    pub(crate) fn reading(&self, kind: &str) -> impl Iterator<Item = (usize, &Policy)> {
        let of_type = self.by_type.get(kind).into_iter().flat_map(|of_type| &of_type.places);
        of_type.chain(&self.of_every_type).map(|place| (*place, &self.policies[*place]))
    }

    /// The input of a resource with the values that its type's policies read.
    pub(crate) fn looked_up(&self, subject: &Subject) -> regorus::Value {
        let of_type = self.by_type.get(&subject.kind);
        of_type.map_or_else(|| subject.input.clone(), |of_type| of_type.paths.looked_up(&subject.input))
    }

    /// The policies that evaluate documents as a whole, with their indices in the set.
    pub(crate) fn whole_documents(&self) -> impl Iterator<Item = (usize, &Policy)> {
        let places = self.of_every_type.iter().map(|place| (*place, &self.policies[*place]));
        places.filter(|(_, policy)| matches!(policy.form, Form::Whole))
    }

    fn index(&mut self) {
        for (place, policy) in self.policies.iter().enumerate() {
            if !matches!(policy.form, Form::Resource) {
                self.of_every_type.push(place);
            }
            for kind in policy.resource_types.iter().filter(|_| matches!(policy.form, Form::Resource)) {
                let of_type = self.by_type.entry(kind.clone()).or_default();
                of_type.places.push(place);
                of_type.paths.extend(&policy.paths);
            }
        }
    }

    /// Parses a module by itself.
    fn module<'a>(&mut self, file: &'a str, text: &'a str) -> Option<Module<'a>> {
        let mut engine = RegoEngine::new(self.config.limits, self.config.errors);
        let package = match engine.add(file, text) {
            Ok(package) => package,
            Err(error) => {
                self.faults.push(Fault::new(file, error.line(), error.to_string()));
                return None;
            }
        };
        let rules = engine.last_rules();
        if rules.iter().any(|rule| rule.starts_with("test_")) {
            self.tests.push((file.to_owned(), text.to_owned()));
            return None;
        }
        match annotations(text) {
            Ok(metadata) => Some(Module { file, text, package, rules, metadata }),
            Err((line, reason)) => {
                self.faults.push(Fault::new(file, Some(line), reason));
                None
            }
        }
    }

    /// Compiles modules together; one that cannot be compiled is removed, and the others are tried again.
    fn compile(&mut self, mut modules: Vec<Module<'_>>) {
        while !modules.is_empty() {
            let mut engine = RegoEngine::new(self.config.limits, self.config.errors);
            let mut bad = BTreeSet::new();
            for module in &modules {
                if let Err(error) = engine.add(module.file, module.text) {
                    self.faults.push(Fault::new(module.file, error.line(), error.to_string()));
                    bad.insert(module.file.to_owned());
                }
            }
            let calls = engine.calls();
            for call in &calls.bad {
                self.faults.push(Fault::new(&call.file, Some(call.line), call.reason.clone()));
                bad.insert(call.file.clone());
            }
            if bad.is_empty() {
                let first = modules.iter().find_map(|module| entries(module).into_iter().next());
                let path = first.map_or_else(String::new, |entry| entry.path);
                if let Err(error) = engine.bound(&calls).and_then(|()| engine.compile_rule(&path)) {
                    let file = error.file().filter(|file| modules.iter().any(|module| module.file == *file));
                    let file = file.unwrap_or_else(|| modules[0].file.to_owned());
                    self.faults.push(Fault::new(&file, error.line(), error.to_string()));
                    bad.insert(file);
                }
            }
            if bad.is_empty() {
                let mut policies = policies(&modules, self.engines.len());
                self.compile_programs(&mut engine, &modules, &mut policies);
                self.policies.extend(policies);
                let owned = |module: &Module<'_>| (module.file.to_owned(), module.text.to_owned());
                self.modules = modules.iter().map(owned).collect();
                self.engines.push(engine);
                return;
            }
            modules.retain(|module| !bad.contains(module.file));
        }
    }

    /// Compiles the policies on which the virtual machine agrees with the interpreter.
    fn compile_programs(&self, engine: &mut RegoEngine, modules: &[Module<'_>], policies: &mut [Policy]) {
        if self.config.execution == Execution::Interpreted || self.config.errors == BuiltinErrors::Strict {
            return;
        }
        let own = compiled::own_texts();
        let is_own = |module: &&Module<'_>| own.contains(module.text);
        // A program takes few modules: each policy is compiled with its own and Weir's libraries alone.
        let mut libraries = RegoEngine::new(self.config.limits, self.config.errors);
        let nothing = libraries.clone();
        for module in modules.iter().filter(|module| entries(module).is_empty()).filter(is_own) {
            if libraries.add_for_machine(module.file, module.text).is_none() {
                return;
            }
        }
        for policy in policies {
            let Some((package, _)) = policy.entries.first().and_then(|entry| entry.path.rsplit_once('.'))
            else {
                continue;
            };
            let parts = || modules.iter().filter(|module| module.package == package);
            let mut alone = match () {
                () if parts().all(|module| is_own(&module)) => libraries.clone(),
                () if engine.stands_alone(package) => nothing.clone(),
                () => continue,
            };
            if parts().all(|module| alone.add_for_machine(module.file, module.text).is_some())
                && let Ok(all) = alone.compiled_policy(&policy.entries[0].path)
            {
                policy.compiled = Compiled::new(&all, &policy.entries);
            }
        }
    }

    /// Loads templates, then the constraints that name them.
    fn templates(&mut self, files: &[(&str, &str)]) {
        let mut engines: BTreeMap<String, (usize, String, Template)> = BTreeMap::new();
        let mut constraints = Vec::new();
        for (file, text) in files {
            let documents = match crate::document::values(text) {
                Ok(documents) => documents,
                Err(refused) => {
                    self.faults.push(Fault::new(file, None, refused.to_string()));
                    continue;
                }
            };
            for document in documents {
                if gatekeeper::is_constraint(&document) {
                    constraints.push((*file, document));
                } else if gatekeeper::is_template(&document) {
                    match Template::read(&document).map_err(|reason| (None, reason)).and_then(|template| {
                        let (engine, package) = self.template_engine(file, text, &template)?;
                        Ok((engine, package, template))
                    }) {
                        Ok((engine, package, template)) => {
                            self.engines.push(engine);
                            let place = self.engines.len() - 1;
                            engines.insert(template.kind.clone(), (place, package, template));
                        }
                        Err((line, reason)) => self.faults.push(Fault::new(file, line, reason)),
                    }
                }
            }
        }
        for (file, document) in constraints {
            let read = Constraint::read(&document).and_then(|constraint| {
                let template = engines.get(&constraint.kind);
                let template =
                    template.ok_or_else(|| format!("no template makes the kind {}", constraint.kind))?;
                Ok(constrained(file, constraint, template))
            });
            match read {
                Ok(policy) => self.policies.push(policy),
                Err(reason) => self.faults.push(Fault::new(file, None, reason)),
            }
        }
    }

    /// An engine with a template's modules. Lines in faults are lines of the template's file.
    fn template_engine(
        &self,
        file: &str,
        text: &str,
        template: &Template,
    ) -> Result<(RegoEngine, String), (Option<usize>, String)> {
        let mut engine = RegoEngine::new(self.config.limits, self.config.errors);
        let place = |source: &str, line: Option<usize>| {
            let first = source.lines().find(|line| !line.trim().is_empty())?;
            let before = source.lines().take_while(|line| line.trim().is_empty()).count();
            let start = text.lines().position(|line| line.trim() == first.trim())?;
            Some(start + line? - before)
        };
        let mut package = String::new();
        for (number, source) in std::iter::once(&template.rego).chain(&template.libraries).enumerate() {
            let added =
                engine.add_v0(file, source).or_else(|error| engine.add(file, source).map_err(|_| error));
            let added = added.map_err(|error| (place(source, error.line()), error.to_string()))?;
            if number == 0 {
                package = added;
                if !engine.last_rules().contains("violation") {
                    return Err((None, "the template's Rego has no rule `violation`".into()));
                }
            }
        }
        let sealed = engine.seal().and_then(|()| engine.compile_rule(&format!("{package}.violation")));
        sealed.map_err(|error| (place(&template.rego, error.line()), error.to_string()))?;
        Ok((engine, package))
    }

    /// Keeps the first of several policies with one id.
    fn without_repeated_ids(&mut self) {
        let mut seen = BTreeMap::new();
        let faults = &mut self.faults;
        self.policies.retain(|policy| match seen.insert(policy.id.clone(), policy.file.clone()) {
            None => true,
            Some(first) => {
                let reason = format!("the id {} is that of a policy in {first}", policy.id);
                faults.push(Fault::new(&policy.file, None, reason));
                seen.insert(policy.id.clone(), first);
                false
            }
        });
    }
}

fn has_extension(file: &str, extensions: &[&str]) -> bool {
    file.rsplit_once('.').is_some_and(|(_, end)| extensions.iter().any(|one| one.eq_ignore_ascii_case(end)))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
