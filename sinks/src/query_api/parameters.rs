//! Query strings: every parameter is known, given once, and within its bounds; else the answer names each fault.

use axum::extract::Query;
use chrono::DateTime;
use http::Uri;
use schemas::{
    Timestamp,
    problem::{Fault, Problem, ProblemKind},
};

use super::answer::Refusal;

/// Longest value of a text parameter, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// Most faults that one answer names.
const MAX_FAULTS: usize = 20;

/// The parameters of one request. They are taken one by one; [`Parameters::finish`] then tells what was wrong.
#[derive(Debug)]
pub(super) struct Parameters {
    given: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Parameters {
    /// The parameters of the request's address.
    pub(super) fn of(uri: &Uri) -> Self {
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(given)) => Self { given, faults: Vec::new() },
            Err(_) => Self { given: Vec::new(), faults: vec![fault("?", "this is not a query string")] },
        }
    }

    /// A text of 1 to 1,024 bytes.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let expected = "a text of 1 to 1,024 bytes without U+0000";
        self.parsed(name, expected, |text| {
            let good = (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.contains('\0');
            good.then(|| text.to_owned())
        })
    }

    /// An instant; its zone must be told.
    pub(super) fn instant(&mut self, name: &'static str) -> Option<Timestamp> {
        let expected = "an instant as in RFC 3339, for example 2026-01-31T10:00:00Z (a + is written %2B)";
        self.parsed(name, expected, |text| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()))
    }

    /// `from` and `to`, in this order.
    pub(super) fn range(&mut self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (from, to) = (self.instant("from"), self.instant("to"));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            self.refuse("from", "must not lie after to");
        }
        (from, to)
    }

    /// A value that `parse` understands; `expected` completes "must be …".
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let index = self.given.iter().position(|(given, _)| given == name)?;
        let (_, text) = self.given.remove(index);
        if self.given.iter().any(|(given, _)| given == name) {
            self.given.retain(|(given, _)| given != name);
            self.refuse(name, "given more than once");
            return None;
        }
        let value = parse(&text);
        if value.is_none() {
            self.refuse(name, &format!("must be {expected}"));
        }
        value
    }

    /// Notes that a parameter cannot be taken.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        self.faults.push(fault(name, why));
    }

    /// Fails if anything was wrong or is left over.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        for (name, _) in self.given.iter().take(MAX_FAULTS) {
            self.faults.push(fault(name, "unknown here"));
        }
        let Some(first) = self.faults.first() else { return Ok(()) };
        let detail = format!("{}: {}", first.at, first.detail);
        let mut problem = Problem::new(ProblemKind::InvalidQuery, detail);
        problem.errors = self.faults;
        problem.errors.truncate(MAX_FAULTS);
        Err(Refusal(Box::new(problem)))
    }
}

fn fault(name: &str, why: &str) -> Fault {
    let at = schemas::problem::printable(name).chars().take(80).collect();
    Fault { at, detail: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `actor`, `from` and `n` (0 to 9) and tells the parameters that were faulty, in order.
    fn check(query: &str, faulty: &[&str]) {
        let uri: Uri = format!("/x?{query}").parse().expect("an address");
        let mut parameters = Parameters::of(&uri);
        parameters.text("actor");
        parameters.instant("from");
        parameters.parsed("n", "a digit", |text| text.parse::<u8>().ok().filter(|n| *n < 10));
        let found: Vec<_> = parameters.finish().err().map_or(vec![], |Refusal(problem)| {
            assert_eq!(problem.slug(), "invalid-query");
            problem.errors.into_iter().map(|fault| fault.at).collect()
        });
        assert_eq!(found, faulty, "{query}");
    }

    #[test]
    fn each_fault_is_named() {
        check("", &[]);
        check("actor=a%20b&from=2026-01-31T10:00:00Z&n=7", &[]);
        check("actor=%27%20OR%201%3D1--", &[]);
        check("actor=", &["actor"]);
        check("actor=a&actor=b", &["actor"]);
        check("actor=a%00", &["actor"]);
        check(&format!("actor={}", "x".repeat(1025)), &["actor"]);
        check("from=2026-01-31T10:00:00&n=10", &["from", "n"]);
        check("from=yesterday&sort=pg_sleep(5)", &["from", "sort"]);
        check("Actor=a", &["Actor"]);
    }

    #[test]
    fn a_stranger_cannot_make_the_answer_long() {
        let many: Vec<_> = (0..200).map(|n| format!("{}{n}=1", "x".repeat(200))).collect();
        let uri: Uri = format!("/x?{}", many.join("&")).parse().expect("an address");
        let Refusal(problem) = Parameters::of(&uri).finish().expect_err("all unknown");
        assert_eq!(problem.errors.len(), MAX_FAULTS);
        assert!(problem.errors.iter().all(|fault| fault.at.len() <= 80));
    }
}
