//! Charges, and a database in which they are stored.

use std::{fs, io::Cursor, path::Path};

use processors::{Processor, cost::Cost};
use producers::sources::focus::{ChargeRows, Charges, Delivery, DeliveryMode};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp, Topic,
    changes::CostChange,
    events::{Usage, UsageKind},
};
use sinks::read_models::cost::Charges as CostModel;
use uuid::Uuid;

use crate::support::projection::{self, Projection};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a plain name")
}

/// The charges of a CSV file, as an import would publish them.
pub(crate) fn of_file(path: &Path, of: &str, mode: DeliveryMode) -> Vec<Envelope> {
    let content = fs::read(path).expect("the file");
    let delivery = Delivery { known_at: None, mode };
    let charges = Charges::new(&tenant(of), delivery, at("2026-01-01T00:00:00Z"));
    let rows = ChargeRows::of_text(Box::new(Cursor::new(content)), charges).expect("charges").expect("rows");
    rows.map(|row| row.expect("read to its end").charge.expect("a good row").envelope).collect()
}

/// A charge, as the n-th event of acme's: what it costs in cents, its second of May 2025, when it became known.
pub(crate) fn charge(n: u64, cents: i64, second: i64, known_at: Timestamp) -> Envelope {
    let start = at("2025-05-01T00:00:00Z") + chrono::TimeDelta::seconds(second);
    let usage = Usage {
        kind: UsageKind::ChargeRecorded,
        billing_account_id: "A-1".into(),
        sub_account_id: Some("S-1".into()),
        provider_name: "Nimbus".into(),
        service_name: "Compute".into(),
        service_category: Some("Compute".into()),
        region_id: Some("eu-west-1".into()),
        resource_id: Some("R-1".into()),
        charge_category: "Usage".into(),
        charge_description: Some("hours".into()),
        charge_period_start: start,
        charge_period_end: start + chrono::TimeDelta::hours(1),
        billing_currency: "EUR".into(),
        billed_cost: rust_decimal::Decimal::new(cents, 2),
        effective_cost: Some(rust_decimal::Decimal::new(cents, 2)),
        list_cost: None,
        contracted_cost: None,
        consumed_quantity: None,
        consumed_unit: None,
        tags: [("team".to_owned(), "core".to_owned())].into(),
        other_columns: [].into(),
        corrects: None,
    };
    Envelope {
        id: EventId::new(Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
        original_id: None,
        tenant: tenant("acme"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: known_at,
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event: Event::Usage(usage),
        native: None,
    }
}

/// The charge's columns, to be changed.
pub(crate) fn columns(envelope: &mut Envelope) -> &mut Usage {
    match &mut envelope.event {
        Event::Usage(usage) => usage,
        other => panic!("no charge: {other:?}"),
    }
}

/// The same charge as one of a delivery that replaces its billing period.
pub(crate) fn replacing(mut envelope: Envelope) -> Envelope {
    columns(&mut envelope).other_columns.insert("x_Replaces".into(), "BillingPeriod".into());
    envelope
}

/// Charges of a few days and accounts, some of which replace others; the same ones for the same seed.
pub(crate) fn events(seed: u64, count: u64) -> Vec<Envelope> {
    let mut dice = StdRng::seed_from_u64(seed);
    (0..count).map(|n| any_charge(n, &mut dice)).collect()
}

fn any_charge(n: u64, dice: &mut StdRng) -> Envelope {
    let known_at = at("2025-06-01T00:00:00Z") + chrono::TimeDelta::days(dice.random_range(0..20));
    let second = dice.random_range(0..3 * 86_400);
    let mut envelope = charge(n, dice.random_range(-10_000..10_000), second, known_at);
    let usage = columns(&mut envelope);
    usage.billing_account_id = format!("A-{}", dice.random_range(0..3));
    usage.resource_id = Some(format!("R-{}", dice.random_range(0..2)));
    usage.billed_cost.set_scale(dice.random_range(0..12)).expect("a scale");
    if dice.random_range(0..10) == 0 { replacing(envelope) } else { envelope }
}

/// Delivers the processor's changes to the stage's sink.
pub(crate) struct Costs;

impl Projection for Costs {
    type Model = CostModel;
    type Event = Envelope;
    const STAGE: &'static str = Cost::NAME;
    const TOPIC: Topic = Topic::Usage;

    fn model() -> CostModel {
        CostModel::default()
    }

    fn changes(event: &Envelope) -> Vec<CostChange> {
        Cost::default().process(event)
    }
}

pub(crate) type Place = projection::Place<Costs>;
