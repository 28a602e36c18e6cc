//! One tenant attacks, another publishes as always. Each attack is a way in which one publisher could once hold up
//! everybody: the neighbour's records must become rows and signals while it goes on, nothing may halt, and the stages'
//! memory stays bounded. The table that is printed has the neighbour's times, for people; `WEIR_UNDER_TEST` names the
//! binary that is measured, and `WEIR_LOOKS` the neighbour's records for each row.

mod attacks;
mod neighbours;

use std::time::Duration;

use self::neighbours::{Neighbours, Seen};

/// Resident memory of the stages' process above which one tenant has taken too much. The process of the tests is built
/// without optimisation and holds about as much more as it is slower.
const MOST_MEMORY: u64 = 512 * 1024 * 1024;

/// The neighbour's records for each row of the table.
fn looks() -> u32 {
    std::env::var("WEIR_LOOKS").ok().map_or(12, |text| text.parse().expect("a number"))
}

/// Half of the times are shorter, and 99 of 100, in milliseconds.
fn of(times: &[Duration]) -> [u128; 2] {
    let mut times: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    times.sort_unstable();
    [50, 99].map(|percent| times[(times.len() * percent).div_ceil(100).max(1) - 1])
}

impl Neighbours {
    /// Looks as the neighbour before an attack and while it goes on, holds the promises against it, and prints a row of
    /// the table.
    #[expect(clippy::print_stderr, reason = "a table for people")]
    async fn judge<T>(&mut self, attack: &str, attacking: impl AsyncFnOnce(&Self) -> T) {
        self.round += 1;
        self.settled().await;
        let before = self.look(looks()).await;
        let (held, during) = tokio::join!(attacking(self), self.look(looks()));
        let [stages, gateway] = self.memory();
        let columns = |seen: &Seen| {
            let ([a, b], [c, d]) = (of(&seen.answers), of(&seen.visible));
            format!("{a:>5} {b:>5} {c:>6} {d:>6}")
        };
        let tenths = of(&during.visible)[1] * 10 / of(&before.visible)[1].max(1);
        let times = format!("{:>3}.{}", tenths / 10, tenths % 10);
        let megabytes = format!("{:>4} {:>4}", stages / 1_000_000, gateway / 1_000_000);
        let (before, during) = (columns(&before), columns(&during));
        eprintln!("| {attack:<34} | {before} | {during} | {times} | {megabytes} |");
        assert_eq!(self.halted().await, 0, "{attack}: one tenant's attack halts nothing");
        self.stages.assert_alive();
        assert!(stages < MOST_MEMORY, "{attack}: {stages} bytes");
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_tenant_does_leaves_the_other_served() {
    let mut neighbours = Neighbours::open().await;
    neighbours.judge("nothing", async |_| ()).await;
    neighbours.judge("conflicting ids", attacks::conflicts).await;
    neighbours.judge("repeats without a time", attacks::repeats).await;
    neighbours.judge("long names, of two tenants", attacks::long_names).await;
    neighbours.judge("weights of one entity", attacks::weights).await;
    neighbours.judge("events that touch 10,000 entities", attacks::amplification).await;
    neighbours.judge("one entity, 8,000 refusals", attacks::hot_entity).await;
    neighbours.judge("bodies withheld", attacks::stalled).await;
    neighbours.judge("old months, long transaction", attacks::old_months).await;
    neighbours.judge("2,000 requests, 50 at a time", attacks::flood).await;
    Box::pin(neighbours.judge("all of it at once", attacks::all)).await;
    neighbours.stages.stop();
}
