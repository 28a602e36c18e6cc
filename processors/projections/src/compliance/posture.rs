//! Posture: state of controls and frameworks by verdicts, and scores.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Timestamp,
    changes::compliance::{PolicySeverity, VerdictStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Maximum score with a failed critical control.
const CAP_CRITICAL: u8 = 50;
/// Maximum score with a failed control of high severity.
const CAP_HIGH: u8 = 75;

/// Controls by framework, each with the policies in force that are evidence for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlCatalogue {
    /// Framework, then control, then ids of policies; none if the control needs manual assessment.
    pub frameworks: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl ControlCatalogue {
    /// Adds the controls that a policy is evidence for.
    pub fn add<'a>(
        &mut self,
        policy: &str,
        controls: impl IntoIterator<Item = (&'a String, &'a Vec<String>)>,
    ) {
        for (framework, controls) in controls {
            let known = self.frameworks.entry(framework.clone()).or_default();
            for control in controls {
                known.entry(control.clone()).or_default().insert(policy.to_owned());
            }
        }
    }
}

/// Severity and controls of a version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Severity of a failure.
    pub severity: PolicySeverity,
    /// Controls by framework.
    pub controls: BTreeMap<String, Vec<String>>,
}

/// Number of resources of a project with the same verdict of one version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The project; `None` for resources without one.
    pub project: Option<String>,
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of its text.
    pub policy_hash: String,
    /// Status of the verdict.
    pub status: VerdictStatus,
    /// Whether a waiver covers it.
    pub waived: bool,
    /// Number of resources.
    pub resources: u64,
    /// The earliest of the resources' last observations.
    pub oldest: Timestamp,
    /// The latest of the resources' last observations.
    pub newest: Timestamp,
}

/// A tally with the policy's severity and controls.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The tally.
    pub tally: &'a Tally,
    /// The policy in the version of the tally.
    pub policy: &'a PolicyFacts,
}

/// State of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlState {
    /// A policy fails for a resource without a waiver.
    Fail,
    /// Policies fail only for resources with a waiver.
    Waived,
    /// At least one policy passes, and none fails.
    Pass,
    /// Policies were evaluated, and none could decide.
    NotEvaluated,
    /// No resource was evaluated for it.
    NoEvidence,
    /// No policy covers it: it needs manual assessment.
    Manual,
}

/// Posture of one control, with numbers of verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPosture {
    /// State of the control.
    pub state: ControlState,
    /// State without waivers.
    pub state_without_waivers: ControlState,
    /// Highest severity of policies that fail without a waiver, and of all that fail.
    pub severity: [Option<PolicySeverity>; 2],
    /// Number of passing verdicts.
    pub passed: u64,
    /// Number of failing verdicts, waived ones included.
    pub failed: u64,
    /// Number of waived failures.
    pub waived: u64,
    /// Number of verdicts that could not decide, and of errors.
    pub not_evaluated: u64,
    /// The earliest and the latest of its resources' last observations.
    pub evidence: Option<(Timestamp, Timestamp)>,
    /// Policies with verdicts or in force.
    pub policies: BTreeSet<String>,
}

/// Band of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Below 50, or at most 50 with a failed critical control.
    Poor,
    /// 50 to 74.
    Fair,
    /// 75 to 89.
    Good,
    /// 90 and more.
    Excellent,
}

/// A score from 0 to 100, rounded down: it is 100 only if nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// The score.
    pub value: u8,
    /// Its band.
    pub band: Band,
    /// The severity of a failed control that caps it: critical at 50, high at 75.
    pub capped_by: Option<PolicySeverity>,
}

impl Score {
    /// The score of a number of passes and failures; `None` if both are 0.
    pub fn of(passed: u64, failed: u64, gravest: Option<PolicySeverity>) -> Option<Self> {
        let all = passed.checked_add(failed).filter(|all| *all > 0)?;
        let share = u8::try_from(u128::from(passed) * 100 / u128::from(all)).unwrap_or(100);
        let cap = match gravest {
            Some(PolicySeverity::Critical) => CAP_CRITICAL,
            Some(PolicySeverity::High) => CAP_HIGH,
            _ => 100,
        };
        let value = share.min(cap);
        let band = match value {
            90.. => Band::Excellent,
            75..90 => Band::Good,
            50..75 if cap > CAP_CRITICAL => Band::Fair,
            _ => Band::Poor,
        };
        Some(Self { value, band, capped_by: gravest.filter(|_| share > cap) })
    }
}

/// The posture of a framework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FrameworkPosture {
    /// The framework.
    pub framework: String,
    /// Number of controls, including those that need manual assessment.
    pub controls: u32,
    /// Number of controls that pass.
    pub passed: u32,
    /// Number of controls that fail.
    pub failed: u32,
    /// Number of controls that fail only for resources with a waiver.
    pub waived: u32,
    /// Number of controls that no policy could decide.
    pub not_evaluated: u32,
    /// Number of controls without an evaluated resource.
    pub no_evidence: u32,
    /// Number of controls that need manual assessment.
    pub manual: u32,
    /// Percentage of the controls with policies that passed, failed or are waived, rounded down.
    pub coverage_percent: u8,
    /// The earliest of the evaluated resources' last observations.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_oldest: Option<Timestamp>,
    /// The latest of the evaluated resources' last observations.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_newest: Option<Timestamp>,
    /// Score: controls that pass or are waived, of those that were decided; absent without evidence.
    pub score: Option<Score>,
    /// The same without waivers.
    pub score_without_waivers: Option<Score>,
}

/// The controls of every framework in the tallies or the catalogue.
pub fn controls(
    judged: &[Judged<'_>],
    catalogue: &ControlCatalogue,
) -> BTreeMap<String, BTreeMap<String, ControlPosture>> {
    let mut found: BTreeMap<String, BTreeMap<String, ControlPosture>> = BTreeMap::new();
    for (framework, controls) in &catalogue.frameworks {
        let known = found.entry(framework.clone()).or_default();
        for (control, policies) in controls {
            known.insert(
                control.clone(),
                ControlPosture { policies: policies.clone(), ..ControlPosture::new() },
            );
        }
    }
    for one in judged {
        for (framework, controls) in &one.policy.controls {
            let known = found.entry(framework.clone()).or_default();
            for control in controls.iter().collect::<BTreeSet<_>>() {
                known.entry(control.clone()).or_insert_with(ControlPosture::new).add(one);
            }
        }
    }
    for control in found.values_mut().flat_map(BTreeMap::values_mut) {
        control.settle();
    }
    found
}

/// The posture of each framework.
pub fn postures(controls: &BTreeMap<String, BTreeMap<String, ControlPosture>>) -> Vec<FrameworkPosture> {
    controls.iter().map(|(framework, controls)| posture(framework, controls)).collect()
}

/// A score over verdicts instead of controls, for policies of at least that severity.
pub fn verdict_score(judged: &[Judged<'_>], at_least: PolicySeverity) -> Option<Score> {
    let (mut passed, mut failed, mut gravest) = (0_u64, 0_u64, None);
    for one in judged.iter().filter(|one| one.policy.severity >= at_least) {
        match one.tally.status {
            VerdictStatus::Pass => passed += one.tally.resources,
            VerdictStatus::Fail if one.tally.waived => passed += one.tally.resources,
            VerdictStatus::Fail => {
                failed += one.tally.resources;
                gravest = gravest.max(Some(one.policy.severity));
            }
            VerdictStatus::NotEvaluated | VerdictStatus::Error => {}
        }
    }
    Score::of(passed, failed, gravest)
}

impl ControlPosture {
    const fn new() -> Self {
        Self {
            state: ControlState::Manual,
            state_without_waivers: ControlState::Manual,
            severity: [None; 2],
            passed: 0,
            failed: 0,
            waived: 0,
            not_evaluated: 0,
            evidence: None,
            policies: BTreeSet::new(),
        }
    }

    fn add(&mut self, one: &Judged<'_>) {
        let Tally { status, waived, resources, oldest, newest, policy_id, .. } = one.tally;
        let severity = Some(one.policy.severity);
        match status {
            VerdictStatus::Pass => self.passed += resources,
            VerdictStatus::Fail => {
                self.failed += resources;
                self.severity[1] = self.severity[1].max(severity);
                if *waived {
                    self.waived += resources;
                } else {
                    self.severity[0] = self.severity[0].max(severity);
                }
            }
            VerdictStatus::NotEvaluated | VerdictStatus::Error => self.not_evaluated += resources,
        }
        let evidence =
            self.evidence.map_or((*oldest, *newest), |(from, to)| (from.min(*oldest), to.max(*newest)));
        self.evidence = Some(evidence);
        self.policies.insert(policy_id.clone());
    }

    fn settle(&mut self) {
        let otherwise = match () {
            () if self.passed > 0 => ControlState::Pass,
            () if self.not_evaluated > 0 => ControlState::NotEvaluated,
            () if self.policies.is_empty() => ControlState::Manual,
            () => ControlState::NoEvidence,
        };
        let state = |failed: u64, waived: u64| match (failed, waived) {
            (0, 0) => otherwise,
            (0, _) => ControlState::Waived,
            _ => ControlState::Fail,
        };
        self.state = state(self.failed - self.waived, self.waived);
        self.state_without_waivers = state(self.failed, 0);
    }
}

fn posture(framework: &str, controls: &BTreeMap<String, ControlPosture>) -> FrameworkPosture {
    let count = |state| controls.values().filter(|one| one.state == state).count();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let [passed, failed, waived] = [ControlState::Pass, ControlState::Fail, ControlState::Waived].map(count);
    let manual = count(ControlState::Manual);
    let decided = passed + failed + waived;
    let evidenced = controls.len() - manual;
    let gravest = |which: usize| controls.values().filter_map(|one| one.severity[which]).max();
    let failed_without = controls.values().filter(|one| one.failed > 0).count();
    let evidence = controls.values().filter_map(|one| one.evidence);
    FrameworkPosture {
        framework: framework.to_owned(),
        controls: small(controls.len()),
        passed: small(passed),
        failed: small(failed),
        waived: small(waived),
        not_evaluated: small(count(ControlState::NotEvaluated)),
        no_evidence: small(count(ControlState::NoEvidence)),
        manual: small(manual),
        coverage_percent: u8::try_from(decided * 100 / evidenced.max(1)).unwrap_or(100),
        evidence_oldest: evidence.clone().map(|(oldest, _)| oldest).min(),
        evidence_newest: evidence.map(|(_, newest)| newest).max(),
        score: Score::of((passed + waived) as u64, failed as u64, gravest(0)),
        score_without_waivers: Score::of(
            (decided - failed_without) as u64,
            failed_without as u64,
            gravest(1),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + second, 0).expect("a time")
    }

    fn tally(policy: &str, status: VerdictStatus, waived: bool, second: i64) -> Tally {
        Tally {
            project: None,
            policy_id: policy.into(),
            policy_hash: "h".into(),
            status,
            waived,
            resources: 2,
            oldest: at(second),
            newest: at(second + 1),
        }
    }

    fn facts(severity: PolicySeverity, controls: &[&str]) -> PolicyFacts {
        let controls = controls.iter().map(|one| (*one).to_owned()).collect();
        PolicyFacts { severity, controls: [("F".to_owned(), controls)].into() }
    }

    fn check(tallies: &[(Tally, PolicyFacts)], states: &[(&str, ControlState)]) -> FrameworkPosture {
        let mut catalogue = ControlCatalogue::default();
        catalogue.add("quiet", &BTreeMap::from([("F".to_owned(), vec!["9".to_owned()])]));
        catalogue.frameworks.get_mut("F").expect("there").insert("10".into(), BTreeSet::new());
        let judged: Vec<_> = tallies.iter().map(|(tally, policy)| Judged { tally, policy }).collect();
        let controls = controls(&judged, &catalogue);
        let found: Vec<_> = controls["F"].iter().map(|(id, one)| (id.as_str(), one.state)).collect();
        let mut expected = vec![("10", ControlState::Manual), ("9", ControlState::NoEvidence)];
        expected.extend(states);
        expected.sort_by_key(|(id, _)| *id);
        assert_eq!(found, expected);
        postures(&controls).remove(0)
    }

    #[test]
    fn a_control_follows_its_worst_verdict() {
        use ControlState as S;
        use PolicySeverity::{High, Low};
        use VerdictStatus::{Error, Fail, NotEvaluated, Pass};
        let tallies = [
            (tally("a", Pass, false, 10), facts(High, &["1", "2"])),
            (tally("b", Fail, false, 5), facts(Low, &["2"])),
            (tally("c", Fail, true, 7), facts(High, &["3"])),
            (tally("d", NotEvaluated, false, 8), facts(High, &["4", "1"])),
            (tally("e", Error, false, 8), facts(High, &["5"])),
        ];
        let posture = check(
            &tallies,
            &[
                ("1", S::Pass),
                ("2", S::Fail),
                ("3", S::Waived),
                ("4", S::NotEvaluated),
                ("5", S::NotEvaluated),
            ],
        );
        assert_eq!((posture.controls, posture.manual, posture.no_evidence), (7, 1, 1));
        assert_eq!(posture.coverage_percent, 50);
        assert_eq!((posture.evidence_oldest, posture.evidence_newest), (Some(at(5)), Some(at(11))));
        let (with, without) = (posture.score.expect("one"), posture.score_without_waivers.expect("one"));
        assert_eq!((with.value, with.band, with.capped_by), (66, Band::Fair, None));
        assert_eq!((without.value, without.band, without.capped_by), (33, Band::Poor, None));
    }

    #[test]
    fn without_evidence_there_is_no_score() {
        let posture = check(&[], &[]);
        assert_eq!((posture.score, posture.score_without_waivers, posture.coverage_percent), (None, None, 0));
        let undecided = tally("d", VerdictStatus::NotEvaluated, false, 8);
        let posture =
            check(&[(undecided, facts(PolicySeverity::Low, &["1"]))], &[("1", ControlState::NotEvaluated)]);
        assert_eq!(posture.score, None);
        assert!(posture.evidence_oldest.is_some(), "it was looked at");
    }

    #[test]
    fn grave_failures_cap_the_score() {
        use PolicySeverity::{Critical, High, Medium};
        let score = |passed, failed, gravest| {
            let score = Score::of(passed, failed, gravest).expect("a score");
            (score.value, score.band, score.capped_by)
        };
        assert_eq!(score(99, 1, Some(Critical)), (50, Band::Poor, Some(Critical)));
        assert_eq!(score(99, 1, Some(High)), (75, Band::Good, Some(High)));
        assert_eq!(score(99, 1, Some(Medium)), (99, Band::Excellent, None));
        assert_eq!(score(1, 3, Some(Critical)), (25, Band::Poor, None));
        assert_eq!(score(999, 1, None), (99, Band::Excellent, None), "100 is for no failure at all");
        assert_eq!(score(7, 0, None), (100, Band::Excellent, None));
        assert_eq!(Score::of(0, 0, None), None);
    }

    #[test]
    fn verdicts_of_grave_policies_make_up_a_score_too() {
        let tallies = [
            (tally("a", VerdictStatus::Pass, false, 1), facts(PolicySeverity::High, &["1"])),
            (tally("b", VerdictStatus::Fail, false, 1), facts(PolicySeverity::Low, &["1"])),
            (tally("c", VerdictStatus::Fail, false, 1), facts(PolicySeverity::Critical, &["1"])),
        ];
        let judged: Vec<_> = tallies.iter().map(|(tally, policy)| Judged { tally, policy }).collect();
        let score = verdict_score(&judged, PolicySeverity::High).expect("a score");
        assert_eq!((score.value, score.capped_by), (50, None));
        assert_eq!(verdict_score(&judged[1..2], PolicySeverity::High), None);
    }
}
