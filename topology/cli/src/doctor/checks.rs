//! Checks of `weir doctor` on the gathered facts.

use std::collections::BTreeSet;

use schemas::Timestamp;
use sinks::{
    HaltKind, HaltReason,
    postgres::{Gap, Standing, Work},
    read_models::pipeline::{Stage, StagePartition, StageState},
    siem::control::StoredSink,
};
use topology::runtime::offline::admin::{ClusterStanding, TopicChange};

use super::{Disk, Examined, Finding, Keys, Service, Verdict};

/// Clocks that differ by more make events look late or skewed.
const MAX_SKEW_S: i64 = 2;
/// Percent of the connections: if more are in use, the next process may find none.
const MAX_CONNECTIONS: i64 = 80;
/// The least free space of a disk, in percent.
const LEAST_FREE: u64 = 10;
/// The oldest PostgreSQL that the tables work on.
const OLDEST_POSTGRES: i32 = 150_000;
/// An outbox that is older is not being relayed.
const MAX_OUTBOX_AGE_S: i64 = 60;
/// A round that removes old rows comes every six hours.
const MAX_RETENTION_IDLE_HOURS: i64 = 24;
/// A receiver that answers again within this time was restarted.
const MAX_SILENCE_S: i64 = 60;
/// Most names in one sentence.
const MAX_NAMES: usize = 5;

impl Finding {
    fn new(verdict: Verdict, check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, verdict, found: found.into(), cure: cure.into() }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, check, found, "")
    }

    fn problem(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Verdict::Problem, check, found, cure)
    }

    fn warning(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, check, found, cure)
    }
}

/// All findings, the worst first.
pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let mut all = kafka(examined.cluster.as_ref());
    all.push(topics(examined.topics.as_ref()));
    all.push(transport(&examined.unprotected));
    match &examined.database {
        Ok(standing) => {
            all.extend(database(standing));
            let named_here = |name: &String| examined.sinks.contains(name);
            let stored = standing.sinks.iter().flatten().filter(|sink| named_here(&sink.name));
            all.extend(stored.filter_map(|stored| sink(stored, standing)));
            // Where the settings name no sink, those of all machines are meant.
            let is_meant = |gap: &&Gap| examined.sinks.is_empty() || named_here(&gap.sink);
            let gaps = standing.gaps.iter().map(|gaps| gaps.iter().filter(is_meant).collect::<Vec<_>>());
            all.extend(gaps.map(|gaps| completeness(&gaps)));
            all.push(clock((examined.now - standing.clock).num_seconds()));
        }
        Err(why) => all.push(Finding::problem(
            "database",
            format!("it cannot be looked at: {why}"),
            "check DATABASE_URL, and that the server runs and takes connections from here",
        )),
    }
    match &examined.stages {
        Ok(stages) => all.extend(stages.iter().flat_map(stage)),
        Err(why) => {
            all.push(Finding::new(
                Verdict::Unknown,
                "stages",
                why,
                "fix kafka, database and migrations first",
            ));
        }
    }
    all.extend(keys(&examined.keys));
    all.extend(examined.services.iter().map(service));
    all.extend(examined.disk.as_ref().map(disk));
    all.sort_by_key(|finding| finding.verdict);
    all
}

fn named<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let shown = names[..names.len().min(MAX_NAMES)].join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn kafka(cluster: Result<&ClusterStanding, &String>) -> Vec<Finding> {
    const CHECK: &str = "kafka";
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(why) => {
            let cure = "check KAFKA_BOOTSTRAP_SERVERS, and that the brokers run and advertise an address that is \
                        reached from here";
            return vec![Finding::problem(CHECK, why, cure)];
        }
    };
    let mut found = Vec::new();
    if !cluster.leaderless.is_empty() {
        let partitions = named(&cluster.leaderless);
        let what = format!("no broker leads {partitions}: nothing is written or read there");
        found.push(Finding::problem(CHECK, what, "start the brokers that hold these partitions"));
    }
    if !cluster.thin_topics.is_empty() {
        let topics = named(cluster.thin_topics.keys());
        let what = format!("fewer copies than {} brokers can hold: {topics}", cluster.brokers);
        let cure =
            "raise the replication factor with kafka-reassign-partitions.sh, or a lost disk loses events";
        found.push(Finding::warning("replication", what, cure));
    }
    if found.is_empty() {
        let what = format!("brokers: {}; every partition has a leader", cluster.brokers);
        found.push(Finding::ok(CHECK, what));
    }
    found.push(access(&cluster.denied_topics));
    found
}

fn access(denied: &[String]) -> Finding {
    const CHECK: &str = "kafka access";
    if denied.is_empty() {
        return Finding::ok(CHECK, "this user sees every topic");
    }
    let what = format!("this user may not see {}", named(denied));
    let cure = "give kafka-acls.sh the lines that `weir topology acls` prints, as a user who may alter the cluster; \
                KAFKA_SASL_USERNAME or the client certificate says who this is";
    Finding::problem(CHECK, what, cure)
}

fn transport(unprotected: &[String]) -> Finding {
    const CHECK: &str = "transport";
    if unprotected.is_empty() {
        return Finding::ok(CHECK, "servers elsewhere are verified, or there are none");
    }
    let cure = "unless the network itself is trusted: KAFKA_SECURITY_PROTOCOL=sasl_ssl, or ssl with a client \
                certificate; sslmode=verify-full in DATABASE_URL";
    Finding::warning(CHECK, unprotected.join("; "), cure)
}

fn topics(changes: Result<&Vec<TopicChange>, &String>) -> Finding {
    const CHECK: &str = "topics";
    let changes = match changes {
        Ok(changes) => changes,
        Err(why) => return Finding::new(Verdict::Unknown, CHECK, why, "fix kafka first"),
    };
    if changes.is_empty() {
        return Finding::ok(CHECK, "partitions, retention and min.insync.replicas are as declared");
    }
    let what = named(changes);
    if changes.iter().all(|change| matches!(change, TopicChange::Refused { .. })) {
        return Finding::warning(CHECK, what, "keep them, or publish to new topics");
    }
    let cure = "`weir topology apply` creates topics and mends their settings; a retention that is shorter than a \
                stage's longest pause loses events";
    Finding::problem(CHECK, what, cure)
}

fn database(standing: &Standing) -> Vec<Finding> {
    const CHECK: &str = "database";
    let major = standing.server_version / 10_000;
    let mut found = Vec::new();
    if standing.server_version < OLDEST_POSTGRES {
        found.push(Finding::problem(CHECK, format!("PostgreSQL {major} is too old"), "use 15 or newer"));
    }
    if standing.is_standby {
        let cure = "name the primary in DATABASE_URL";
        found.push(Finding::problem(CHECK, "the server is a standby and takes no writes", cure));
    }
    if !standing.is_durable {
        let cure = "set fsync = on and synchronous_commit = on: a committed position must outlive a crash";
        found.push(Finding::problem(CHECK, "commits do not wait for the disk", cure));
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("PostgreSQL {major}, a primary")));
    }
    found.push(connections(standing));
    found.push(migrations(standing));
    if let Some(work) = &standing.work {
        found.extend([outbox(work), checkpoints(work), retention(work)]);
    }
    if let Some(why) = &standing.unread {
        let what = format!("outbox, log and sinks cannot be looked at whole: {why}");
        let cure = "ask as a member of weir_operator, such as the owner of the database";
        found.push(Finding::new(Verdict::Unknown, CHECK, what, cure));
    }
    found
}

fn completeness(gaps: &[&Gap]) -> Finding {
    const CHECK: &str = "completeness";
    let Some(first) = gaps.first() else {
        return Finding::ok(CHECK, "sinks have delivered or parked every entry that they passed");
    };
    let lacking = gaps.iter().map(|gap| {
        let (sink, log, last) = (&gap.sink, &gap.log, gap.next_index - 1);
        let hour = gap.since.format("%Y-%m-%dT%H:00Z");
        format!(
            "{sink} lacks {} entries of {log}#{} to #{last}, from the hour {hour} on",
            gap.missing, gap.first_index
        )
    });
    let of_sink = gaps.iter().filter(|gap| gap.sink == first.sink);
    let since = of_sink.map(|gap| gap.since).min().unwrap_or(first.since);
    let (sink, since) = (&first.sink, since.format("%Y-%m-%dT%H:%M:%SZ"));
    let cure = format!("`weir sink backfill {sink} --from {since}` delivers them out of PostgreSQL");
    Finding::problem(CHECK, named(lacking), cure)
}

/// A sink that delivers nothing, or nothing for now by somebody's decision.
fn sink(sink: &StoredSink, standing: &Standing) -> Option<Finding> {
    const CHECK: &str = "sinks";
    let name = &sink.name;
    let since = |since: Timestamp| since.format("%Y-%m-%dT%H:%M:%SZ");
    if let Some(by) = &sink.paused_by {
        let why = sink.paused_why.as_deref().filter(|why| !why.is_empty()).map(|why| format!(": {why}"));
        let what = format!("{by} has paused {name}{}", why.unwrap_or_default());
        return Some(Finding::warning(CHECK, what, format!("`weir sink resume {name}` delivers what waits")));
    }
    let (state, at) = (sink.state.as_deref()?, sink.state_since?);
    let why = sink.why.as_deref().unwrap_or("the receiver does not say why");
    match state {
        "refused" => {
            let what = format!("the receiver of {name} refuses everything since {}: {why}", since(at));
            let cure =
                format!("mend its secret or its settings; `weir sink test {name}` shows what it answers");
            Some(Finding::problem(CHECK, what, cure))
        }
        "retrying" if (standing.clock - at).num_seconds() >= MAX_SILENCE_S => {
            let what = format!("{name} has delivered nothing since {}: {why}", since(at));
            let cure = format!("see that its receiver answers; `weir sink test {name}` shows what it says");
            Some(Finding::problem(CHECK, what, cure))
        }
        _ => None,
    }
}

fn connections(standing: &Standing) -> Finding {
    let (used, most) = (standing.connections, standing.connections_at_most);
    let what = format!("{used} of {most} in use");
    if used * 100 >= most * MAX_CONNECTIONS {
        let cure = "raise max_connections, or lower the query API's share of them";
        return Finding::problem("connections", what, cure);
    }
    Finding::ok("connections", what)
}

fn clock(ahead_s: i64) -> Finding {
    if ahead_s.abs() > MAX_SKEW_S {
        let side = if ahead_s > 0 { "ahead of" } else { "behind" };
        let what = format!("this machine's is {} s {side} the database's", ahead_s.abs());
        return Finding::problem("clock", what, "synchronise both with NTP");
    }
    Finding::ok("clock", format!("within {MAX_SKEW_S} s of the database's"))
}

fn migrations(standing: &Standing) -> Finding {
    const CHECK: &str = "migrations";
    let Some(migrations) = &standing.migrations else {
        let cure = "ask as the user who migrates, or GRANT SELECT ON _sqlx_migrations to this one";
        return Finding::new(Verdict::Unknown, CHECK, "this user may not see them", cure);
    };
    if !migrations.unknown.is_empty() {
        let what = format!("the database is newer than this program: {}", named(&migrations.unknown));
        return Finding::problem(CHECK, what, "use the newer weir; a database is never migrated back");
    }
    if !migrations.missing.is_empty() {
        let what = format!("the database lacks {}", named(&migrations.missing));
        let cure = "run `weir topology apply` as the database's owner, then start the stages";
        return Finding::problem(CHECK, what, cure);
    }
    Finding::ok(CHECK, "all are applied")
}

fn outbox(work: &Work) -> Finding {
    const CHECK: &str = "outbox";
    if work.outbox_set_aside > 0 {
        let what = format!("a topic refuses {} records for good", work.outbox_set_aside);
        let cure = "the column outbox.set_aside_for says why: compare the topic's max.message.bytes and ACLs with it";
        return Finding::problem(CHECK, what, cure);
    }
    match work.outbox_age_s {
        Some(age) if age > MAX_OUTBOX_AGE_S => {
            let cure = "look at the log of the stage that wrote it: the topic takes nothing, or the stage does not run";
            Finding::problem(CHECK, format!("its oldest record waits for {age} s"), cure)
        }
        _ => Finding::ok(CHECK, "records leave as they come"),
    }
}

fn checkpoints(work: &Work) -> Finding {
    const CHECK: &str = "checkpoints";
    if work.unsigned_logs.is_empty() {
        return Finding::ok(CHECK, "every log is signed");
    }
    let what = format!("logs grow and are not signed: {}", named(&work.unsigned_logs));
    let cure = "run the stage audit with WEIR_AUDIT__SIGNING_KEY_FILE; where it has a key, its log says why it refuses, \
                and `weir verify` names the entry";
    Finding::problem(CHECK, what, cure)
}

fn retention(work: &Work) -> Finding {
    const CHECK: &str = "retention";
    if work.retention_overdue_groups > 0 {
        let what = format!(
            "audit entries are older than they are to be kept: {} groups by month, tenant, class and log",
            work.retention_overdue_groups
        );
        let cure = "set WEIR_AUDIT__SIGNING_KEY_FILE for the stage retention too, and see that the stage audit writes \
                    weir.audit.v1: what the topic has not is not removed";
        return Finding::problem(CHECK, what, cure);
    }
    match work.retention_idle_hours {
        Some(hours) if hours >= MAX_RETENTION_IDLE_HOURS => {
            let cure = "run the stage retention; where it runs, its log says why it cannot remove";
            Finding::problem(CHECK, format!("old rows were not removed for {hours} h"), cure)
        }
        _ => Finding::ok(CHECK, "old rows are removed"),
    }
}

fn stage(stage: &Stage) -> Vec<Finding> {
    const CHECK: &str = "stages";
    let name = &stage.name;
    let place = |partition: &StagePartition| format!("{}/{}", partition.topic, partition.partition);
    let mut found = Vec::new();
    let mut retried = BTreeSet::new();
    for partition in &stage.partitions {
        if let Some(why) = &partition.halted {
            let reason = HaltReason::from_stored(why);
            if reason.kind.heals_by_itself() {
                // A paused sink is told of by itself.
                if reason.kind != HaltKind::Paused {
                    retried.insert(why);
                }
                continue;
            }
            let what = format!("{name} is halted on {}: {why}", place(partition));
            let at = format!("{name} --topic {} --partition {}", partition.topic, partition.partition);
            found.push(Finding::problem(CHECK, what, reason.cure(&at)));
        }
    }
    for why in retried {
        let cure = "mend what it names; it is tried again and goes on by itself";
        found.push(Finding::warning(CHECK, format!("{name} waits: {why}"), cure));
    }
    let was_never_run =
        |partition: &&StagePartition| partition.owner.is_none() && partition.lag.is_some_and(|lag| lag > 0);
    let unowned: Vec<String> = stage.partitions.iter().filter(was_never_run).map(place).collect();
    if !unowned.is_empty() {
        let what = format!("{name} was never run on {}, where records wait", named(unowned));
        found.push(Finding::problem(CHECK, what, format!("start it: `weir run {name}`, or `weir up`")));
    }
    if stage.waiting > 0 {
        let what = format!("{} records of {name} wait for a decision", stage.waiting);
        let cure = format!("`weir dead-letter list --stage {name}` says why; replay or discard them");
        found.push(Finding::warning("dead letters", what, cure));
    }
    if found.is_empty() {
        found.push(match (stage.state, stage.lag) {
            (StageState::Unknown, _) | (_, None) => {
                Finding::new(Verdict::Unknown, CHECK, format!("{name}: its topics' ends are unknown"), "")
            }
            (_, Some(0)) => Finding::ok(CHECK, format!("{name} has applied everything")),
            (_, Some(lag)) => Finding::ok(CHECK, format!("{name} is {lag} records behind")),
        });
    }
    found
}

fn keys(keys: &Keys) -> Vec<Finding> {
    const CHECK: &str = "keys";
    let mut found = Vec::new();
    if let Err(why) = &keys.peppers {
        found.push(Finding::problem(
            CHECK,
            why,
            "set WEIR_API_KEYS__PEPPER_FILE: no API key is known without it",
        ));
    }
    let cure = "set WEIR_AUDIT__SUBJECT_SECRET_FILE to a file of 32 random bytes or more that never change";
    match &keys.subject_secret {
        Ok(true) => {}
        Ok(false) => {
            found.push(Finding::problem(CHECK, "the stage audit has no secret for its subjects' keys", cure));
        }
        Err(why) => found.push(Finding::problem(CHECK, why, cure)),
    }
    let cure = "`weir audit key --new NAME` makes a key; set WEIR_AUDIT__SIGNING_KEY_FILE to it";
    match &keys.signing {
        Ok(0) => found.push(Finding::warning(CHECK, "no key signs the audit log", cure)),
        Ok(_) => {}
        Err(why) => found.push(Finding::problem(CHECK, why, cure)),
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "pepper, subject secret and signing key are here"));
    }
    if keys.witnesses == 0 {
        let what =
            "no witness cosigns the audit log: a holder of the database and the signing key can rewrite it";
        let cure = "run `weir witness` on another machine and name it in WEIR_AUDIT__WITNESSES";
        found.push(Finding::warning("witness", what, cure));
    }
    found
}

fn service(service: &Service) -> Finding {
    match &service.url {
        None => {
            let cure = "`weir up` starts one; WEIR_GATEWAY__URL and WEIR_QUERY_API__URL name others";
            Finding::new(Verdict::Unknown, service.name, "none is named here", cure)
        }
        Some(url) if service.is_ready => Finding::ok(service.name, format!("{url} is ready")),
        Some(url) => {
            let cure = "look at its log; `weir status` shows whether it runs here";
            Finding::problem(service.name, format!("{url} is not ready, or not reached from here"), cure)
        }
    }
}

fn disk(disk: &Disk) -> Finding {
    const GIB: u64 = 1 << 30;
    let free = disk.free_bytes.saturating_mul(100).checked_div(disk.total_bytes).unwrap_or(0);
    let what = format!("{} GiB ({free} %) free at {}", disk.free_bytes / GIB, disk.path);
    if free < LEAST_FREE {
        return Finding::problem("disk", what, "free some space: a full disk stops every stage");
    }
    Finding::ok("disk", what)
}

#[cfg(test)]
mod tests;
