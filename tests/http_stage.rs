//! The audit stage with a destination over HTTP, for tests that kill it.

#[path = "src/http_stage.rs"]
mod http_stage;

use tokio_util::sync::CancellationToken;
use topology::runtime::{self, Health, RunConfig};

#[tokio::main]
async fn main() {
    let setting = |name: &str| std::env::var(name).expect("the test sets it");
    let topology = http_stage::topology(&setting("RECEIVER_URL"));
    let config = RunConfig {
        group_instance: std::env::var("GROUP_INSTANCE").ok(),
        ..RunConfig::new(setting("KAFKA_BOOTSTRAP_SERVERS"), setting("DATABASE_URL"))
    };
    let stages = [http_stage::STAGE.to_owned()];
    let stop = CancellationToken::new();
    runtime::run(&topology, &stages, config, Health::default(), stop)
        .await
        .expect("it runs until it is killed");
}
