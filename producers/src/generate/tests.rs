use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
};

use chrono::TimeDelta;
use proptest::prelude::*;
use schemas::{Event, Topic, codec::Framing, events::ActivityKind};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    kafka::{Producer, ProducerConfig, Purpose},
    sources::{Oddities, SourceFormat, cloudtrail::tests::through_the_topic},
};

fn config(tenants: &[&str], mix: Mix) -> GeneratorConfig {
    let tenants = tenants.iter().map(|name| TenantId::new(name).expect("a plain name")).collect();
    let start_time = "2026-03-02T00:00:00Z".parse().expect("a time");
    GeneratorConfig {
        tenants,
        start_time,
        mean_gap: Duration::from_millis(250),
        rhythm: Rhythm::DayAndNight,
        mix,
    }
}

fn generator(seed: u64) -> Generator {
    Generator::new(seed, config(&["acme"], Mix::Organisation))
}

#[test]
fn one_seed_one_play() {
    let play = |seed| generator(seed).take(3_000).collect::<Vec<_>>();
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
    let mut later = config(&["acme"], Mix::Organisation);
    later.start_time += TimeDelta::microseconds(1);
    let ids = |events: Vec<Envelope>| events.into_iter().map(|event| event.id).collect::<HashSet<_>>();
    let later = ids(Generator::new(7, later).take(3_000).collect());
    assert!(ids(play(7)).is_disjoint(&later), "another play's events are other events");
}

/// Guards the play against changes by accident: benchmarks and demonstrations of two versions compare.
#[test]
fn a_play_stays_what_it_was() {
    let hashes: Vec<String> = generator(1)
        .step_by(997)
        .take(4)
        .map(|envelope| format!("{} {:02x?}", envelope.event.kind_name(), &envelope.content_sha256()[..4]))
        .collect();
    insta::assert_debug_snapshot!(hashes);
}

#[test]
fn all_families_appear_and_most_is_activity() {
    let mut topics = BTreeMap::<Topic, u32>::new();
    let mut kinds = HashSet::new();
    let mut ids = HashSet::new();
    let mut before = None;
    for envelope in generator(3).take(40_000) {
        *topics.entry(envelope.event.topic()).or_default() += 1;
        if let Event::Activity(activity) = &envelope.event {
            kinds.insert(activity.kind);
        }
        assert!(ids.insert(envelope.id), "ids are unique");
        // CloudTrail tells whole seconds.
        let second = envelope.occurred_at.timestamp();
        assert!(before.is_none_or(|before| before <= second), "time does not go back");
        before = Some(second);
    }
    assert_eq!(topics.len(), 6);
    assert!((28_000..34_000).contains(&topics[&Topic::Activity]), "{topics:?}");
    assert!(topics.values().all(|count| *count > 300), "{topics:?}");
    assert_eq!(kinds.len(), ActivityKind::ALL.len(), "every kind of activity happens");
}

#[test]
fn native_records_become_the_events_beside_them() {
    for mix in [Mix::Organisation, Mix::CloudTrail] {
        for envelope in Generator::new(5, config(&["acme"], mix)).take(20_000) {
            let Some(native) = &envelope.native else { continue };
            serde_json::from_str::<serde_json::Value>(&native.record).expect("a record is JSON");
            // A plan's event says more than its plan: who proposes it, for which project.
            if native.format == schemas::envelope::native_format::TERRAFORM_PLAN {
                continue;
            }
            let mapped = SourceFormat::CloudTrail.map(&envelope.tenant, &native.record).expect("an object");
            assert_eq!(mapped.oddities, Oddities::default());
            assert_eq!(mapped.envelope, envelope);
        }
    }
}

#[test]
fn every_event_is_read_from_its_topic_as_it_was() {
    for envelope in generator(9).take(5_000) {
        assert_eq!(through_the_topic(&envelope), envelope);
    }
}

#[test]
fn native_records_have_real_size() {
    let sizes: Vec<usize> = Generator::new(5, config(&["acme"], Mix::CloudTrail))
        .take(10_000)
        .map(|envelope| envelope.native.expect("each has one").record.len())
        .collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((1_850..2_200).contains(&mean), "mean {mean} bytes");
}

#[test]
fn history_ends_before_its_end() {
    let tenant = TenantId::new("acme").expect("a plain name");
    // A quiet Sunday, a busy noon, a Monday's night.
    for end in ["2026-03-08T12:00:00Z", "2026-03-11T11:59:59.5Z", "2026-03-09T02:00:00Z"] {
        let end: Timestamp = end.parse().expect("a time");
        for (events, earlier) in [(1, 1), (1_000, 4), (20_000, 30), (300_000, 150), (5_000_000, 1_800)] {
            let config = GeneratorConfig::ending_at(end, events, tenant.clone());
            let mut clock = Clock::new(config.start_time, config.mean_gap, config.rhythm);
            let mut dice = Dice::new(1);
            let last = (0..events).map(|_| clock.tick(&mut dice)).last().expect("there are events");
            assert!(last < end && last > end - TimeDelta::minutes(earlier), "{events} until {end}: {last}");
        }
    }
    let config = GeneratorConfig::ending_at(Timestamp::UNIX_EPOCH, u64::MAX, tenant);
    assert_eq!(config.start_time, Timestamp::UNIX_EPOCH);
}

fn producer() -> Producer {
    let extra = [("test.mock.num.brokers", "1"), ("allow.auto.create.topics", "true"), ("linger.ms", "0")];
    let config = ProducerConfig {
        bootstrap: "localhost:1".into(),
        purpose: Purpose::Bulk,
        client_id: "weir-test".into(),
        extra: extra.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    Producer::new(&config, Framing::SingleObject).expect("the settings are good")
}

#[tokio::test]
async fn a_run_publishes_all_of_it_and_no_faster_than_asked() {
    let (producer, stop) = (producer(), CancellationToken::new());
    let mut last = RunProgress::default();
    let all = run(generator(1).take(2_000), Rate::Unlimited, &producer, &stop, |told| last = told).await;
    assert_eq!((all.expect("published").published, last.acknowledged), (2_000, 2_000));

    let rate = Rate::PerSecond(NonZeroU32::new(500).expect("not zero"));
    let slow = run(generator(2).take(51), rate, &producer, &stop, |_| ()).await.expect("published");
    assert!(slow.published == 51 && slow.took >= Duration::from_millis(100), "{slow:?}");
}

#[tokio::test]
async fn a_stopped_run_says_what_it_published() {
    let (producer, stop) = (producer(), CancellationToken::new());
    let stopping = stop.clone();
    let events = generator(1).inspect(move |_| stopping.cancel());
    let summary = run(events, Rate::Unlimited, &producer, &stop, |_| ()).await.expect("nothing failed");
    assert!(summary.stopped && summary.published == 0, "{summary:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_seed_plays(seed: u64, gap_us in 1_u64..10_000_000_000, steady: bool) {
        let mut config = config(&["acme", "globex"], Mix::Organisation);
        config.mean_gap = Duration::from_micros(gap_us);
        config.rhythm = if steady { Rhythm::Steady } else { Rhythm::DayAndNight };
        let tenants: HashSet<_> = Generator::new(seed, config).take(2_000).map(|envelope| envelope.tenant).collect();
        prop_assert_eq!(tenants.len(), 2);
    }
}
