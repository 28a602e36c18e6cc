//! Two people approve a change, neither of whom asked for it: by tokens of an issuer, and through a service.

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{TimeDelta, Utc};
use ed25519_dalek::{Signer as _, SigningKey};
use edge::identity::{Identities, IssuerConfig, KeySource, RoleRule, SubjectKind, TenantOf};
use schemas::{TenantId, access::Role};
use serde_json::{Value, json};

use super::door::{Answer, Door};
use crate::{change_review::fixture::plan_of, support::site::Site};

pub(crate) const ISSUER: &str = "https://issuer.test";
/// The route of the plan: two approvals are needed.
const REVIEWS: &str =
    "SELECT count(*) FROM change_review WHERE decision = 'approved' AND route = 'two_person'
                          AND approvals = 2 AND requested_by = 'ada'";

/// An issuer of tokens whose keys lie in a file.
pub(crate) struct Issuer {
    key: SigningKey,
    keys: tempfile::NamedTempFile,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = SigningKey::from_bytes(&rand::random());
        let keys = tempfile::NamedTempFile::new().expect("a file");
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "1", "x": x});
        std::fs::write(keys.path(), json!({"keys": [jwk]}).to_string()).expect("written");
        Self { key, keys }
    }

    /// Its people ask for changes and decide about them.
    pub(super) fn identities(&self) -> Arc<Identities> {
        let rule = |role| RoleRule {
            claim: "groups".into(),
            matches: "platform".into(),
            role,
            tenant: TenantOf::Fixed(TenantId::new("acme").expect("a tenant")),
        };
        let config = IssuerConfig {
            issuer: ISSUER.into(),
            audiences: vec!["weir".into()],
            authorized_parties: Vec::new(),
            keys: KeySource::File(self.keys.path().to_owned()),
            principal_claim: "sub".into(),
            kind: SubjectKind::Person,
            rules: vec![rule(Role::Developer), rule(Role::Approver)],
        };
        Arc::new(Identities::new(vec![config]).expect("an issuer"))
    }

    /// The file of its keys.
    pub(crate) fn keys(&self) -> &Path {
        self.keys.path()
    }

    /// A token of one of its people, for an hour.
    pub(crate) fn token(&self, person: &str) -> String {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(json!({"alg": "EdDSA", "kid": "1", "typ": "JWT"}));
        let claims = encode(json!({"iss": ISSUER, "sub": person, "aud": "weir", "groups": ["platform"],
                                   "exp": Utc::now().timestamp() + 3_600}));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }
}

/// People and a service in front of one gateway.
struct Desk {
    door: Door,
    issuer: Issuer,
}

impl Desk {
    /// A plan that two people must approve; the id of its change.
    async fn propose(&self, volume: &str) -> String {
        let plan = plan_of("delete", &format!("aws_ebs_volume.{volume}_prod")).to_string();
        let answer = Answer::to(self.door.post("/api/v1/sources/terraform-plan", plan)).await.taken();
        answer["accepted"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// A proposal of `CR-1` without a plan, which one person must approve, dated so many minutes back by its publisher.
    async fn propose_dated(&self, id: &str, minutes: i64) {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/ci", "type": "io.weir.infrastructure.change_proposed.v1",
            "time": (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339(), "datacontenttype": "application/json",
            "data": {"resource": {"id": "shop/main"}, "change_id": "CR-1"},
        });
        Answer::to(self.door.batch(&[event])).await.taken();
    }

    /// As a person.
    async fn person(&self, who: &str, change: &str, what: &str, body: Value) -> Answer {
        let path = format!("/api/v1/changes/{change}/{what}");
        Answer::to(self.door.post_as(&self.issuer.token(who), &path, body.to_string())).await
    }

    /// As the service.
    async fn service(&self, change: &str, what: &str, body: Value) {
        let path = format!("/api/v1/changes/{change}/{what}");
        Answer::to(self.door.post(&path, body.to_string())).await.taken();
    }
}

fn approval() -> Value {
    json!({"decision": "approved", "reason": "read it"})
}

fn approval_for(person: &str) -> Value {
    json!({"decision": "approved", "reason": "read it", "on_behalf_of": person})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_never_approves_in_person_or_through_a_service() {
    let (site, issuer) = (Site::new().await, Issuer::new());
    let desk =
        Desk { door: Door::open_with(&site, |config| config.identities = issuer.identities()).await, issuer };
    let stage = site.run_stages(&["change_review"], 1);

    // Asked in person.
    let one = desk.propose("one").await;
    desk.person("ada", &one, "approval-requests", json!({})).await.taken();
    desk.person("ada", &one, "decisions", approval()).await.taken();
    desk.service(&one, "decisions", approval_for("Ada")).await;
    desk.person("bob", &one, "decisions", approval()).await.taken();
    desk.service(&one, "decisions", approval_for("bob")).await;
    let claims = desk.person("eve", &one, "decisions", approval_for("ada")).await;
    assert_eq!(claims.status, 422, "a person speaks for themselves");
    let refused = "SELECT count(*) FROM change_review WHERE approvals = 1 AND impossible_total = 3";
    site.await_count(refused, 1).await;
    desk.person("eve", &one, "decisions", approval()).await.taken();
    site.await_count(REVIEWS, 1).await;

    // Asked through the service: the person cannot approve, nor can the service, for whomever.
    let two = desk.propose("two").await;
    desk.service(&two, "approval-requests", json!({"on_behalf_of": "ada"})).await;
    desk.person("ada", &two, "decisions", approval()).await.taken();
    desk.service(&two, "decisions", approval()).await;
    desk.service(&two, "decisions", approval_for("bob")).await;
    let refused = "SELECT count(*) FROM change_review WHERE approvals = 0 AND impossible_total = 3";
    site.await_count(refused, 1).await;
    for approver in ["bob", "eve"] {
        desk.person(approver, &two, "decisions", approval()).await.taken();
    }
    site.await_count(REVIEWS, 2).await;
    stage.stop().await;
    desk.door.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_stays_with_the_plan_that_was_approved() {
    let (site, issuer) = (Site::new().await, Issuer::new());
    let desk =
        Desk { door: Door::open_with(&site, |config| config.identities = issuer.identities()).await, issuer };
    let stage = site.run_stages(&["change_review"], 1);
    desk.propose_dated("first", 60).await;
    desk.person("ada", "CR-1", "approval-requests", json!({})).await.taken();
    desk.person("bob", "CR-1", "decisions", approval()).await.taken();
    let approved = "SELECT count(*) FROM change_review WHERE decision = 'approved' AND facts = 3";
    site.await_count(approved, 1).await;

    // Another plan, which its publisher dates before the request and the approval.
    desk.propose_dated("second", 30).await;
    let anew = "SELECT count(*) FROM change_review
                 WHERE approval = 'human_review' AND decision IS NULL AND approvals = 0 AND facts = 4";
    site.await_count(anew, 1).await;
    desk.person("bob", "CR-1", "decisions", approval()).await.taken();
    let approved = "SELECT count(*) FROM change_review WHERE decision = 'approved' AND facts = 5";
    site.await_count(approved, 1).await;
    stage.stop().await;
    desk.door.stop.cancel();
}
