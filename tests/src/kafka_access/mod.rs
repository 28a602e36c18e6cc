//! Kafka with passwords and rights, as `compose/compose.yaml` runs it: every process does its work, and
//! nothing else.

mod fixture;
mod walk;
mod work;

use fixture::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_may_do_its_work_on_kafka_and_nothing_else() {
    let cluster = Cluster::start().await;
    walk::nobody_may_do_anything(&cluster).await;
    cluster.grant();
    work::each_process_does_its_work(&cluster).await;
    walk::nobody_may_do_more(&cluster).await;
}
