//! A saved search on its way from the request over Kafka to the table that the query API reads.

use serde_json::{Value, json};

use super::door::{Answer, Door};
use crate::support::site::Site;

const SAVED: &str = "SELECT count(*) FROM saved_search WHERE active AND tenant_id = 'acme' AND name = 'root logins/Ä'
                        AND filter = '{\"actor\": \"root\", \"outcome\": \"failure\"}' AND saved_for = 'each morning'";
const REPLACED: &str = "SELECT count(*) FROM saved_search WHERE active AND filter = '{\"text\": \"root\"}' AND saved_for IS NULL";
const REMOVED: &str = "SELECT count(*) FROM saved_search WHERE NOT active AND removed_by <> ''";
const IN_THE_LOG: &str = "SELECT count(*) FROM audit_entry WHERE kind IN ('SearchSaved', 'SearchRemoved')
                            AND resource_type = 'saved_search' AND resource = 'root logins/Ä'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_is_saved_replaced_and_removed_and_the_log_tells_of_it() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let stage = site.run_stages(&["retention", "audit"], 1);
    let http = reqwest::Client::new();
    let url = format!("http://{}/api/v1/audit/searches/root%20logins%2F%C3%84", door.address());
    let put = |body: Value| http.put(&url).bearer_auth(door.token()).json(&body);
    let filter = json!({"actor": "root", "outcome": "failure"});
    Answer::to(put(json!({"filter": filter, "reason": "each morning"}))).await.taken();
    site.await_count(SAVED, 1).await;
    Answer::to(put(json!({"filter": {"text": "root"}}))).await.taken();
    site.await_count(REPLACED, 1).await;
    Answer::to(http.delete(&url).bearer_auth(door.token())).await.taken();
    site.await_count(REMOVED, 1).await;
    Answer::to(put(json!({"filter": {"text": "root"}}))).await.taken();
    site.await_count(REPLACED, 1).await;
    site.await_count(IN_THE_LOG, 4).await;
    stage.stop().await;
    door.stop.cancel();
}
