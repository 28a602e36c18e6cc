//! Claims as common providers write them, each with a rule that reads them.

use super::*;

/// Kind, tenant and role that the rule gives a subject with these claims; nothing if it does not match.
fn given(claims: &Value, rule: RoleRule) -> Option<(&'static str, String, Role)> {
    let mapping = Mapping {
        issuer: "https://issuer.test".into(),
        principal_claim: "sub".into(),
        kind: SubjectKind::Detected,
        rules: vec![rule],
    };
    let claims = claims.as_object().expect("claims");
    let principal = mapping.map(claims, now()).principal.ok()?;
    let (Principal::Person(subject) | Principal::Service(subject)) = &principal else { return None };
    Some((principal.kind(), subject.tenant.to_string(), subject.roles[0]))
}

/// Checks that a rule about this claim and value reads the claims, and that one about another value does not.
#[track_caller]
fn check(kind: &'static str, claims: &Value, (claim, value): (&str, &str)) {
    let expected = Some((kind, "acme".to_owned(), Role::Viewer));
    assert_eq!(given(claims, rule(claim, value, Role::Viewer)), expected, "{claims}");
    assert_eq!(given(claims, rule(claim, "something else", Role::Viewer)), None, "{claims}");
}

#[test]
fn okta_entra_and_auth0_are_read() {
    let group = "8f2a1c34-0000-4000-8000-000000000001";
    let namespaced = "https://weir.example/roles";
    check(
        "person",
        &json!({"sub": "00u1", "groups": ["Everyone", "weir-admins"]}),
        ("groups", "weir-admins"),
    );
    check(
        "service",
        &json!({"sub": "0oa1", "client_id": "0oa1", "scp": ["weir.publish"]}),
        ("scp", "weir.publish"),
    );
    check("person", &json!({"sub": "a", "oid": "b", "roles": ["Weir.Approver"]}), ("roles", "Weir.Approver"));
    check("person", &json!({"sub": "a", "groups": [group]}), ("groups", group));
    check("person", &json!({"sub": "a", "scp": "User.Read weir.read"}), ("scp", "weir.read"));
    check(
        "service",
        &json!({"sub": "a", "idtyp": "app", "roles": ["Weir.Publish"]}),
        ("roles", "Weir.Publish"),
    );
    check("person", &json!({"sub": "auth0|1", namespaced: ["admin"]}), (namespaced, "admin"));
    check("person", &json!({"sub": "auth0|1", "permissions": ["read:weir"]}), ("permissions", "read:weir"));
    let machine = json!({"sub": "x", "gty": "client-credentials", "scope": "publish:weir"});
    check("service", &machine, ("scope", "publish:weir"));
    check("service", &json!({"sub": "x@clients", "azp": "x"}), ("azp", "x"));
}

#[test]
fn oktas_own_claims_tell_people_from_programs() {
    let of = |sub: &str| json!({"ver": 1, "cid": "0oa1", "sub": sub, "scp": ["weir.publish"]});
    check("service", &of("0oa1"), ("scp", "weir.publish"));
    check("person", &with(of("mara@acme.example"), "uid", json!("00u1")), ("scp", "weir.publish"));
}

#[test]
fn keycloak_google_cognito_zitadel_dex_and_ping_are_read() {
    let realm = json!({"sub": "1", "realm_access": {"roles": ["offline_access", "weir-admin"]}});
    check("person", &realm, ("/realm_access/roles", "weir-admin"));
    let client = json!({"sub": "1", "resource_access": {"weir": {"roles": ["approver"]}}});
    check("person", &client, ("/resource_access/weir/roles", "approver"));
    check("person", &json!({"sub": "1", "groups": ["/security/on-call"]}), ("groups", "/security/*"));
    check("person", &json!({"sub": "1", "hd": "acme.example"}), ("hd", "acme.example"));
    check("person", &json!({"sub": "1", "email_verified": true}), ("email_verified", "true"));
    check("person", &json!({"sub": "1", "cognito:groups": ["security"]}), ("cognito:groups", "security"));
    let roles = "urn:zitadel:iam:org:project:roles";
    check("person", &json!({"sub": "1", roles: {"approver": {"28": "acme.example"}}}), (roles, "approver"));
    let dex = json!({"sub": "CgEx", "federated_claims": {"connector_id": "ldap"}});
    check("person", &dex, ("/federated_claims/connector_id", "ldap"));
    check("person", &json!({"sub": "1", "memberOf": "CN=Security,OU=Groups"}), ("memberOf", "CN=Security,*"));
}

#[test]
fn pipelines_and_service_accounts_are_read_as_programs() {
    let github = json!({"sub": "repo:acme/shop:ref:refs/heads/main", "repository_owner": "acme"});
    check("service", &github, ("sub", "repo:acme/shop:*"));
    let named_by_environment = json!({"sub": "environment:prod", "repository": "acme/shop",
        "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main"});
    check("service", &named_by_environment, ("repository", "acme/shop"));
    let gitlab = json!({"sub": "project_path:acme/shop:ref:main", "namespace_path": "acme"});
    check("service", &gitlab, ("namespace_path", "acme"));
    let account =
        json!({"sub": "system:serviceaccount:prod:shipper", "kubernetes.io": {"namespace": "prod"}});
    check("service", &account, ("/kubernetes.io/namespace", "prod"));
    let circle = json!({"sub": "org/1/project/2/user/3", "oidc.circleci.com/project-id": "2"});
    check("service", &circle, ("/oidc.circleci.com~1project-id", "2"));
    check("service", &json!({"sub": "{1}:{2}", "pipelineUuid": "{3}"}), ("pipelineUuid", "{3}"));
    let buildkite = json!({"sub": "organization:a:pipeline:b", "pipeline_slug": "b", "build_number": 5});
    check("service", &buildkite, ("pipeline_slug", "b"));
    let terraform = json!({"sub": "organization:a:project:b:workspace:c", "terraform_run_id": "run-1"});
    check("service", &terraform, ("sub", "organization:a:*"));
    check("service", &json!({"sub": "sc://acme/shop/deploy"}), ("sub", "sc://acme/*"));
    check("service", &json!({"sub": "spiffe://acme/ns/prod"}), ("sub", "spiffe://acme/*"));
    check("service", &json!({"sub": "system:serviceaccount:prod:shipper"}), ("sub", "system:*"));
    check("service", &json!({"sub": "system:serviceaccount:prod:shipper"}), ("sub", "system:*"));
    let google = json!({"sub": "117", "email": "deploy@shop.iam.gserviceaccount.com"});
    check("service", &google, ("email", "deploy@*"));
    check("service", &json!({"sub": "117", "azp": "117"}), ("azp", "117"));
    check("service", &json!({"sub": "deploy@shop.iam.gserviceaccount.com"}), ("sub", "deploy@*"));
    let cognito = json!({"sub": "7a1", "client_id": "7a1", "token_use": "access", "scope": "weir/publish"});
    check("service", &cognito, ("scope", "weir/publish"));
    check("service", &json!({"sub": "117", "azp": "117"}), ("azp", "117"));
    check("service", &json!({"sub": "deploy@shop.iam.gserviceaccount.com"}), ("sub", "deploy@*"));
    let cognito = json!({"sub": "7a1", "client_id": "7a1", "token_use": "access", "scope": "weir/publish"});
    check("service", &cognito, ("scope", "weir/publish"));
    let keycloak =
        json!({"sub": "5d0e", "azp": "Deployer", "preferred_username": "service-account-deployer"});
    check("service", &keycloak, ("azp", "Deployer"));
    let entra = json!({"sub": "9a41", "oid": "9a41", "azp": "77c2", "roles": ["Weir.Publish"]});
    check("service", &entra, ("roles", "Weir.Publish"));
    let first_version = json!({"sub": "9a41", "oid": "9a41", "appid": "77c2", "roles": ["Weir.Publish"]});
    check("service", &first_version, ("roles", "Weir.Publish"));
}

#[test]
fn people_who_only_look_like_programs_stay_people() {
    for claims in [
        json!({"sub": "mara", "azp": "web", "preferred_username": "service-account-manager"}),
        json!({"sub": "mara", "email": "mara@gserviceaccount.com.example"}),
        json!({"sub": "report:1", "oid": "2", "appid": "77c2", "scp": "User.Read"}),
        json!({"sub": "5d0e", "client_id": "7a1", "token_use": "access", "username": "mara"}),
        json!({"sub": "auth0|mara@clients.example", "azp": "web", "gty": "password"}),
    ] {
        check("person", &with(claims, "groups", json!(["all"])), ("groups", "all"));
    }
}

#[test]
fn a_claim_may_name_the_tenant() {
    let by_claim = |claim: &str| RoleRule {
        tenant: TenantOf::Claim(claim.into()),
        ..rule("roles", "w*", Role::Auditor)
    };
    let claims = json!({"sub": "1", "roles": ["weir"], "org": "shop", "nested": {"org": "ops"}, "bad": "a b", "list": ["shop"]});
    let tenant = |claim: &str| given(&claims, by_claim(claim)).map(|(_, tenant, _)| tenant);
    assert_eq!((tenant("org").as_deref(), tenant("/nested/org").as_deref()), (Some("shop"), Some("ops")));
    assert_eq!((tenant("bad"), tenant("list"), tenant("none")), (None, None, None));
}

#[test]
fn each_rule_tells_what_it_gave_or_why_not() {
    let other = TenantOf::Fixed(TenantId::new("other").expect("a tenant"));
    let mapping = Mapping {
        issuer: "https://issuer.test".into(),
        principal_claim: "sub".into(),
        kind: SubjectKind::Person,
        rules: vec![
            rule("groups", "nobody", Role::Admin),
            rule("groups", "sec", Role::Viewer),
            rule("roles", "x", Role::Admin),
            RoleRule { tenant: other, ..rule("groups", "sec", Role::Admin) },
            rule("groups", "s*", Role::Approver),
        ],
    };
    let claims = json!({"sub": "1", "groups": ["sec"]});
    let mapped = mapping.map(claims.as_object().expect("claims"), now());
    let told: Vec<_> = mapped.rules.iter().map(|rule| (rule.matched, rule.gave.as_str())).collect();
    assert_eq!(
        told,
        [
            (false, "nothing: groups has no value nobody"),
            (true, "role viewer of tenant acme"),
            (false, "nothing: there is no claim roles"),
            (true, "nothing: an earlier rule decided on tenant acme"),
            (true, "role approver of tenant acme"),
        ]
    );
    let Ok(Principal::Person(person)) = mapped.principal else { panic!("a person") };
    assert_eq!(person.roles, [Role::Viewer, Role::Approver]);
}

/// The subject's id and name where this claim names the subject; else why there is none.
fn named_by(claim: &str, claims: Value) -> Result<(String, Option<String>), Denial> {
    let mapping = Mapping {
        issuer: "https://issuer.test".into(),
        principal_claim: claim.into(),
        kind: SubjectKind::Person,
        rules: vec![rule("groups", "sec", Role::Viewer)],
    };
    let claims = with(claims, "groups", json!(["sec"]));
    match mapping.map(claims.as_object().expect("claims"), now()).principal? {
        Principal::Person(person) => Ok((person.id, person.name)),
        other => panic!("a person: {other:?}"),
    }
}

#[test]
fn a_claim_that_cannot_name_a_subject_is_told() {
    for (value, fault) in [
        (Value::Null, "is missing"),
        (json!(7), "is not a text"),
        (json!(""), "is empty or longer than 255 bytes"),
        (json!("x".repeat(256)), "is empty or longer than 255 bytes"),
        (json!("a\u{0}b"), "has control characters"),
        (json!("a\nb"), "has control characters"),
    ] {
        let denial = named_by("email", with(json!({"sub": "1"}), "email", value)).expect_err(fault);
        assert_eq!(denial, Denial::NoSubject { claim: "email".into(), why: fault });
        assert!(denial.to_string().contains(&format!("claim email, which names its subject here, {fault}")));
    }
    let longest = "x".repeat(255);
    assert_eq!(named_by("/a/id", json!({"a": {"id": longest}})), Ok((longest, None)));
}

#[test]
fn a_name_is_one_bounded_line() {
    let name = |claims: Value| named_by("sub", with(claims, "sub", json!("1"))).expect("a subject").1;
    assert_eq!(name(json!({"name": "Ma\u{0}ra\nB"})).as_deref(), Some("Ma ra B"));
    let long = name(json!({"preferred_username": "é".repeat(4_000)})).expect("a name");
    assert_eq!(long.chars().count(), 200);
}

#[test]
fn groups_that_entra_left_out_are_noticed() {
    for claims in [
        json!({"sub": "1", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}}),
        json!({"sub": "1", "hasgroups": true}),
    ] {
        let mapping = Mapping {
            issuer: "https://issuer.test".into(),
            principal_claim: "sub".into(),
            kind: SubjectKind::Person,
            rules: vec![rule("groups", "sec", Role::Viewer)],
        };
        let mapped = mapping.map(claims.as_object().expect("claims"), now());
        assert!(mapped.rules[0].gave.contains("overage"), "{:?}", mapped.rules);
        assert_eq!(mapped.principal, Err(Denial::NoRole));
    }
}
