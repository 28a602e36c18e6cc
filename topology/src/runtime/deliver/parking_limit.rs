//! Limits on parking. Poison from several tenants, or from none, is likely a fault of Weir's: the partition
//! halts before much of it is parked. Poison from one tenant is that tenant's own fault, and so are values that cannot be
//! stored, whoever sends them: tenants share partitions, and a publisher chooses the partition by its key, so
//! no tenant may be able to stop one, alone or together with others. Its records are still parked; beyond a bound only a
//! reference to each is kept.

use std::collections::{HashMap, VecDeque};

use schemas::{ParkReason, TenantId};
use sinks::{RecordChanges, Settlement};

/// Records of one partition that shares are counted over, since the claim.
const WINDOW: usize = 1_000;
/// Parked records allowed among them (5 %), once the window is full.
const MAX_IN_WINDOW: usize = WINDOW / 20;
/// Parked records allowed in a row.
const MAX_IN_A_ROW: usize = 100;
/// Parked records in the window from which on a tenant is over its limit.
const MAX_OF_TENANT: usize = 100;
/// Records of a tenant over its limit that are kept with their bytes.
const MAX_KEPT: usize = 1_000;
/// The header that names a record's tenant; its envelope may be unreadable all the same.
const TENANT_HEADER: &str = "ce_tenantid";

/// Outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied, a duplicate, or ignored.
    Settled,
    /// Parked; of this tenant, if one is named.
    Parked(Option<TenantId>),
    /// Parked for what its publisher wrote: the id belongs to other content, or values exceed what can be stored. Several
    /// tenants may do that at once without any fault of Weir's, so it halts nothing.
    Own(Option<TenantId>),
}

/// Outcomes of a partition's last records.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParkingLimit {
    window: VecDeque<Outcome>,
    /// Of records that name no tenant.
    nobodys: Tally,
    /// Of every tenant with a parked record in the window.
    tenants: HashMap<TenantId, Tally>,
    /// Parked records since the last that was not.
    in_a_row: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    in_window: usize,
    in_a_row: usize,
    own: usize,
    /// Parked while the tenant was over its limit.
    over_limit: usize,
}

impl ParkingLimit {
    /// Counts a record. True if it was parked and its tenant is over the tenant's own limit.
    pub(crate) fn count(&mut self, outcome: Outcome) -> bool {
        if self.window.len() == WINDOW
            && let Some(oldest) = self.window.pop_front()
        {
            self.forget(&oldest);
        }
        let over = match &outcome {
            Outcome::Settled => {
                self.end_the_row();
                false
            }
            Outcome::Parked(tenant) => {
                self.in_a_row += 1;
                let tally = self.tally(tenant.as_ref());
                tally.in_window += 1;
                tally.in_a_row += 1;
                tenant.is_some() && tally.count_if_over()
            }
            Outcome::Own(tenant) => {
                let tally = self.tally(tenant.as_ref());
                tally.own += 1;
                tenant.is_some() && tally.count_if_over()
            }
        };
        self.window.push_back(outcome);
        over
    }

    /// Whether more was parked than one tenant can be blamed for.
    pub(crate) fn is_broken(&self) -> bool {
        let is_full = self.window.len() == WINDOW;
        self.beside_the_worst(|tally| tally.in_a_row) > MAX_IN_A_ROW
            || is_full && self.beside_the_worst(|tally| tally.in_window) > MAX_IN_WINDOW
    }

    /// Whether some tenant has parked so much that no more than references are kept.
    pub(crate) fn keeps_references(&self) -> bool {
        self.tenants.values().any(|tally| tally.over_limit >= MAX_KEPT)
    }

    /// Whether only a reference is kept should a record of that tenant be parked.
    pub(crate) fn keeps_reference_of(&self, tenant: &TenantId) -> bool {
        self.tenants.get(tenant).is_some_and(|tally| tally.over_limit >= MAX_KEPT)
    }

    /// The sum over records without a tenant and those of all tenants but the one with the most.
    fn beside_the_worst(&self, count: impl Fn(&Tally) -> usize) -> usize {
        let (sum, worst) = self.tenants.values().fold((0, 0), |(sum, worst), tally| {
            let count = count(tally);
            (sum + count, worst.max(count))
        });
        count(&self.nobodys) + sum - worst
    }

    fn tally(&mut self, tenant: Option<&TenantId>) -> &mut Tally {
        let Some(tenant) = tenant else { return &mut self.nobodys };
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), Tally::default());
        }
        self.tenants.get_mut(tenant).expect("it is there now")
    }

    fn end_the_row(&mut self) {
        if std::mem::take(&mut self.in_a_row) > 0 {
            self.nobodys.in_a_row = 0;
            self.tenants.values_mut().for_each(|tally| tally.in_a_row = 0);
        }
    }

    fn forget(&mut self, outcome: &Outcome) {
        let tenant = match outcome {
            Outcome::Settled => return,
            Outcome::Parked(tenant) => {
                self.tally(tenant.as_ref()).in_window -= 1;
                tenant
            }
            Outcome::Own(tenant) => {
                self.tally(tenant.as_ref()).own -= 1;
                tenant
            }
        };
        // Only tenants in the window are known, so whoever invents names fills no memory.
        if let Some(tenant) = tenant
            && self.tenants[tenant].total() == 0
        {
            self.tenants.remove(tenant);
        }
    }
}

impl Tally {
    fn total(&self) -> usize {
        self.in_window + self.own
    }

    fn count_if_over(&mut self) -> bool {
        let is_over = self.total() > MAX_OF_TENANT;
        self.over_limit += usize::from(is_over);
        is_over
    }
}

/// Outcome of a record if the sink settles it as asked.
pub(crate) fn outcome_of<C>(record: &RecordChanges<C>) -> Outcome {
    match record.settlement {
        Settlement::Park { reason, .. } if record.identity.is_some() && is_own(reason) => {
            Outcome::Own(tenant_of(record))
        }
        Settlement::Park { .. } => Outcome::Parked(tenant_of(record)),
        Settlement::Apply(_) | Settlement::Ignore(_) => Outcome::Settled,
    }
}

/// Whether the values of a record that was decoded are what could not be stored.
const fn is_own(reason: ParkReason) -> bool {
    matches!(reason, ParkReason::LimitExceeded | ParkReason::TooLarge | ParkReason::Unstorable)
}

/// The tenant that a record names, in its envelope or at least in its headers.
pub(crate) fn tenant_of<C>(record: &RecordChanges<C>) -> Option<TenantId> {
    if let Some((tenant, _)) = &record.identity {
        return Some(tenant.clone());
    }
    let (_, value) = record.raw.headers.iter().find(|(name, _)| *name == TENANT_HEADER)?;
    TenantId::new(std::str::from_utf8(value?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use schemas::EventId;
    use sinks::{KeptBytes, RawRecord};

    use super::*;

    fn named(name: &str) -> TenantId {
        TenantId::new(name).expect("valid")
    }

    fn after(outcomes: impl IntoIterator<Item = Outcome>) -> ParkingLimit {
        let mut limit = ParkingLimit::default();
        outcomes.into_iter().for_each(|outcome| {
            limit.count(outcome);
        });
        limit
    }

    fn repeat(outcome: Outcome, n: usize) -> impl Iterator<Item = Outcome> {
        std::iter::repeat_n(outcome, n)
    }

    /// Every `nth` of so many records is parked.
    fn every(nth: usize, n: usize, tenant: Option<TenantId>) -> impl Iterator<Item = Outcome> {
        (0..n).map(move |i| if i % nth == 0 { Outcome::Parked(tenant.clone()) } else { Outcome::Settled })
    }

    #[test]
    fn a_hundred_of_nobody_in_a_row_are_the_limit() {
        let nobodys = Outcome::Parked(None);
        assert!(!after(repeat(nobodys.clone(), 100)).is_broken());
        assert!(after(repeat(nobodys.clone(), 101)).is_broken());
        let interrupted = repeat(nobodys.clone(), 100).chain([Outcome::Settled]).chain(repeat(nobodys, 100));
        assert!(!after(interrupted).is_broken());
    }

    #[test]
    fn a_share_of_five_percent_of_nobody_counts_once_the_window_is_full() {
        assert!(!after(every(10, 999, None)).is_broken(), "not full yet");
        assert!(after(every(10, 1_000, None)).is_broken(), "100 of 1,000");
        assert!(!after(every(20, 5_000, None)).is_broken(), "the oldest parked one leaves the window");
        assert!(after(every(20, 5_000, None).chain(repeat(Outcome::Parked(None), 2))).is_broken(), "51");
    }

    #[test]
    fn one_tenant_breaks_no_limit_but_its_own() {
        for n in [101, 1_000, 20_000] {
            let limit = after(repeat(Outcome::Parked(Some(named("loud"))), n));
            assert!(!limit.is_broken(), "{n}");
        }
        // Beside a neighbour with a fault of its own, still less than the limit.
        let both = repeat(Outcome::Parked(Some(named("loud"))), 5_000)
            .chain(repeat(Outcome::Parked(Some(named("other"))), 50));
        assert!(!after(both).is_broken());
        let shared = every(4, 1_000, Some(named("loud")));
        assert!(!after(shared).is_broken(), "a quarter of all records, all of one tenant");
    }

    #[test]
    fn several_tenants_break_it_together() {
        let turns = |n: usize| (0..n).map(|i| Outcome::Parked(Some(named(["a", "b", "c"][i % 3]))));
        assert!(!after(turns(150)).is_broken(), "100 beside the worst");
        assert!(after(turns(152)).is_broken(), "101 beside the worst");
    }

    #[test]
    fn what_publishers_wrote_halts_nothing_however_many_they_are() {
        let own = |n: usize| Outcome::Own(Some(named(["a", "b", "c"][n % 3])));
        assert!(!after((0..5_000).map(own)).is_broken());
        let parked = |identity, reason| RecordChanges::<()> {
            range: 0,
            offset: 0,
            settlement: Settlement::Park { reason, detail: String::new() },
            raw: RawRecord::default(),
            identity,
            kept: KeptBytes::All,
        };
        let event = || Some((named("a"), EventId::at(schemas::Timestamp::UNIX_EPOCH, [1; 10])));
        let outcome = |identity, reason| outcome_of(&parked(identity, reason));
        assert_eq!(outcome(event(), ParkReason::LimitExceeded), Outcome::Own(Some(named("a"))));
        assert_eq!(outcome(event(), ParkReason::ConstraintViolated), Outcome::Parked(Some(named("a"))));
        assert_eq!(
            outcome(None, ParkReason::LimitExceeded),
            Outcome::Parked(None),
            "nobody can tell whose it is"
        );
    }

    #[test]
    fn conflicts_halt_nothing_and_do_not_hide_a_flood() {
        let conflicts = repeat(Outcome::Own(Some(named("a"))), 500).chain(repeat(Outcome::Own(None), 600));
        assert!(!after(conflicts).is_broken());
        let hidden = (0..202).map(|i| match i % 2 {
            0 => Outcome::Parked(None),
            _ => Outcome::Own(Some(named("a"))),
        });
        assert!(after(hidden).is_broken());
    }

    #[test]
    fn a_tenant_over_its_limit_is_told_of_and_later_kept_by_reference_until_it_is_quiet() {
        let tenant = Some(named("loud"));
        let mut limit = after(repeat(Outcome::Parked(tenant.clone()), 100));
        assert!(limit.count(Outcome::Own(tenant.clone())), "the hundred and first");
        let loud = named("loud");
        assert!(!limit.keeps_reference_of(&loud));
        repeat(Outcome::Parked(tenant), MAX_KEPT).for_each(|outcome| assert!(limit.count(outcome)));
        assert!(limit.keeps_references() && limit.keeps_reference_of(&loud));
        assert!(!limit.keeps_reference_of(&named("other")));
        repeat(Outcome::Settled, WINDOW).for_each(|outcome| assert!(!limit.count(outcome)));
        assert!(!limit.keeps_references());
        assert!(limit.tenants.is_empty(), "nobody is remembered beyond the window");
    }

    #[test]
    fn counts_agree_with_the_window_whatever_comes() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(3);
        let mut limit = ParkingLimit::default();
        for _ in 0..5_000 {
            let tenant = ["a", "b", ""][random.random_range(0..3)];
            let tenant = if tenant.is_empty() { None } else { Some(named(tenant)) };
            limit.count(match random.random_range(0..3) {
                0 => Outcome::Parked(tenant),
                1 => Outcome::Own(tenant),
                _ => Outcome::Settled,
            });
            for tenant in [Some(named("a")), Some(named("b")), None] {
                let count =
                    |wanted: Outcome| limit.window.iter().filter(|outcome| **outcome == wanted).count();
                let (parked, own) =
                    (count(Outcome::Parked(tenant.clone())), count(Outcome::Own(tenant.clone())));
                let tally = match &tenant {
                    Some(tenant) => limit.tenants.get(tenant).copied().unwrap_or_default(),
                    None => limit.nobodys,
                };
                assert_eq!((tally.in_window, tally.own), (parked, own));
            }
        }
    }
}
