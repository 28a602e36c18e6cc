use super::*;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("valid")
}

fn slug<T: std::fmt::Debug>(refused: Result<T, ApiError>) -> String {
    refused.expect_err("refused").problem().slug().to_owned()
}

#[test]
fn a_budget_is_charged_afterwards_and_fills_at_its_pace() {
    let began = Instant::now();
    let after = |seconds: u64| began + Duration::from_secs(seconds);
    let mut budget = Budget::new(NonZeroU32::new(30).expect("not zero"), began);
    budget.charge(Duration::from_secs(29), began);
    assert_eq!(budget.check(began), Ok(()), "a minute's worth at once");
    budget.charge(Duration::from_secs(5), began);
    // 4 s over, filled at half a second a second: 8 s, and one more.
    assert_eq!(budget.check(began), Err(Duration::from_secs(9)));
    assert_eq!(budget.check(after(9)), Ok(()));
    assert_eq!(budget.check(after(9_999)), Ok(()));
    budget.charge(Duration::from_secs(29), after(9_999));
    assert_eq!(budget.check(after(9_999)), Ok(()), "what was not used is not saved up");
}

#[tokio::test]
async fn a_tenant_takes_its_share_of_the_connections_and_no_more() {
    let limits =
        ShareLimits { queued_per_tenant: 1, wait: Duration::from_hours(1), ..ShareLimits::default() };
    let shares = Arc::new(Shares::new(limits, Tenants::default()));
    let (greedy, modest) = (tenant("greedy"), tenant("modest"));
    let mut turns = Vec::new();
    for _ in 0..3 {
        turns.push(shares.question(&greedy).await.expect("within the share"));
    }
    shares.question(&modest).await.expect("another tenant has its own");
    let waiting = tokio::spawn({
        let (shares, greedy) = (Arc::clone(&shares), greedy.clone());
        async move { shares.question(&greedy).await.map(drop).is_ok() }
    });
    while shares.share_of(&greedy).queued.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(slug(shares.question(&greedy).await), "quota-exceeded", "nobody else may queue");
    turns.pop();
    assert!(waiting.await.expect("no panic"), "the one that waited has its turn");
}

#[tokio::test]
async fn many_tenants_share_what_there_is() {
    let shares = Shares::new(
        ShareLimits { connections: 2, wait: Duration::ZERO, ..ShareLimits::default() },
        Tenants::default(),
    );
    let mut turns = Vec::new();
    for name in ["a", "b"] {
        turns.push(shares.question(&tenant(name)).await.expect("room"));
    }
    assert_eq!(slug(shares.question(&tenant("c")).await), "database-unavailable");
    turns.pop();
    shares.question(&tenant("c")).await.expect("room again");
}

#[tokio::test]
async fn answers_that_are_not_taken_count_against_their_tenant() {
    let shares = Shares::new(
        ShareLimits { answer_bytes_per_tenant: 2 * RESERVED_BYTES, ..ShareLimits::default() },
        Tenants::default(),
    );
    let (slow, other) = (tenant("slow"), tenant("other"));
    let (_, mut first) = shares.question(&slow).await.expect("room");
    let (_, _second) = shares.question(&slow).await.expect("room");
    assert_eq!(slug(shares.question(&slow).await), "quota-exceeded");
    shares.question(&other).await.expect("another tenant has its own");
    first.shrink_to(RESERVED_BYTES + 1);
    assert_eq!(slug(shares.question(&slow).await), "quota-exceeded", "it keeps what it is long");
    first.shrink_to(10);
    assert_eq!(slug(shares.question(&slow).await), "quota-exceeded", "one piece is still taken");
    drop(first);
    shares.question(&slow).await.expect("given back");
}

#[test]
fn waiting_reads_are_shared_too() {
    let shares = Shares::new(
        ShareLimits { waiting_reads: 3, waiting_reads_per_tenant: 2, ..ShareLimits::default() },
        Tenants::default(),
    );
    let _first = shares.waiting_read(&tenant("a")).expect("room");
    let _second = shares.waiting_read(&tenant("a")).expect("room");
    assert_eq!(slug(shares.waiting_read(&tenant("a"))), "quota-exceeded");
    let _third = shares.waiting_read(&tenant("b")).expect("room");
    assert_eq!(slug(shares.waiting_read(&tenant("b"))), "overloaded");
}

#[tokio::test]
async fn a_limit_of_a_tenants_own_holds_from_the_next_question() {
    let (set, limits) = tokio::sync::watch::channel(Arc::default());
    let tenants = Tenants { limits, ..Tenants::default() };
    let limits = ShareLimits {
        queued_per_tenant: 0,
        answer_bytes_per_tenant: 8 * RESERVED_BYTES,
        ..ShareLimits::default()
    };
    let shares = Shares::new(limits, tenants.clone());
    let (own, other) = (tenant("own"), tenant("other"));
    let both = async || (most(&shares, &own).await, most(&shares, &other).await);
    assert_eq!(both().await, (3, 3));
    for (count, expected) in [(1, 1), (5, 5), (u32::MAX, 8)] {
        let count = NonZeroU32::new(count).expect("not zero");
        let limit = (own.clone(), LimitName::Connections, count);
        set.send_replace(Arc::new([limit].into_iter().collect()));
        assert_eq!(both().await, (expected, 3));
    }
    let used = shares.share_of(&own).budget().used;
    let limit = (own.clone(), LimitName::DatabaseSecondsPerMinute, NonZeroU32::MIN);
    set.send_replace(Arc::new([limit].into_iter().collect()));
    shares.share_of(&own).budget().used = used + Duration::from_secs(2);
    assert_eq!(slug(shares.question(&own).await), "quota-exceeded");
    set.send_replace(Arc::default());
    shares.question(&own).await.expect("60 seconds again, of which 2 are used");
    assert!(shares.share_of(&own).budget().used >= Duration::from_secs(1), "what was used stays used");
    let counts = tenants.meter.take();
    assert_eq!(counts[&(own.clone(), Measure::Refused("database_time"))], 1);
    assert!(counts[&(own, Measure::Questions)] > 10);
}

/// Questions that are answered at once.
async fn most(shares: &Shares, tenant: &TenantId) -> usize {
    let mut turns = Vec::new();
    for _ in 0..20 {
        turns.extend(shares.question(tenant).await.ok());
    }
    turns.len()
}
