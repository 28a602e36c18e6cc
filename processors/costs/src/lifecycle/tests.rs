//! Lifecycle events of infrastructure events and API calls.

use schemas::events::{ActivityKind, Actor, Outcome};
use serde_json::json;

use super::*;
use crate::accrual;

fn prices() -> PriceList {
    PriceList::examples()
}

fn infrastructure(kind: InfrastructureKind, type_name: &str, configuration: &str) -> Infrastructure {
    Infrastructure {
        kind,
        resource: Resource {
            cloud: Some("aws".into()),
            account: Some("42".into()),
            region: Some("us-east-1".into()),
            kind: Some(type_name.into()),
            id: "arn:aws:ec2:us-east-1:42:instance/i-0f3b7c21d9a84e650".into(),
            project: Some("orders".into()),
            ..Resource::default()
        },
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: (!configuration.is_empty()).then(|| configuration.to_owned()),
    }
}

/// Hourly, monthly and by the gigabyte for a month.
fn check(type_name: &str, configuration: &str, expected: Result<(&str, &str, &str), &str>) {
    let event = infrastructure(InfrastructureKind::Provisioned, type_name, configuration);
    let told = of_infrastructure(&event, &prices()).expect("a life").told;
    let found = match told.price {
        Some(price) => Ok([price.hourly, price.monthly, price.gb_monthly].map(|price| price.to_string())),
        None => Err(told.unpriced.unwrap_or_default()),
    };
    let expected = expected.map(|(a, b, c)| [a, b, c].map(str::to_owned)).map_err(str::to_owned);
    assert_eq!(found, expected, "{type_name} {configuration}");
}

#[test]
fn prices_follow_from_types_in_every_vocabulary() {
    check("AWS::EC2::Instance", r#"{"instanceType":"m7g.large"}"#, Ok(("0.0816", "0", "0")));
    check("aws_instance", r#"{"instance_type":"m7g.large"}"#, Ok(("0.0816", "0", "0")));
    check("AWS::EC2::Volume", r#"{"VolumeType":"gp3","Size":100}"#, Ok(("0", "0", "0.08")));
    check("AWS::EC2::NatGateway", "", Ok(("0.045", "0", "0")));
    check("AWS::EC2::Instance", "", Err(""));
    check("AWS::EC2::Instance", "not JSON", Err(""));
    check(
        "AWS::EC2::Instance",
        r#"{"instanceType":"x99.huge"}"#,
        Err("the price list has no such instance of aws"),
    );
    check("AWS::Braket::Device", r#"{"a":1}"#, Err("Weir has no rule for this type"));
}

#[test]
fn quantities_are_counts_or_sizes() {
    let told = |quantity: &str, unit: &str| {
        let event = Infrastructure {
            quantity: Some(quantity.into()),
            unit: Some(unit.into()),
            ..infrastructure(InfrastructureKind::Scaled, "AWS::EKS::Nodegroup", "")
        };
        of_infrastructure(&event, &prices()).expect("a life").told
    };
    assert_eq!(told("14", "instances").count, Some(Decimal::from(14)));
    assert_eq!(told("512.5", "GiB").size_gb, Some(Decimal::new(5_125, 1)));
    assert_eq!(told("2", "TiB").size_gb, Some(Decimal::from(2_048)));
    assert!(told("8", "vCPU").unpriced.is_some());
    assert!(told("-1", "nodes").unpriced.is_some());
    assert_eq!(told("many", "nodes"), SizeTold::default());
}

#[test]
fn what_failed_or_changed_nothing_is_no_life() {
    let mut failed = infrastructure(InfrastructureKind::Provisioned, "AWS::EC2::Instance", "");
    failed.outcome.status = OutcomeStatus::Failure;
    assert_eq!(of_infrastructure(&failed, &prices()), None);
    for kind in
        [InfrastructureKind::Completed, InfrastructureKind::ChangeProposed, InfrastructureKind::Failed]
    {
        assert_eq!(of_infrastructure(&infrastructure(kind, "AWS::EC2::Instance", ""), &prices()), None);
    }
}

fn call(service: &str, action: &str, format: &str, record: &Value) -> Vec<ResourceLife> {
    ended(service, action, OutcomeStatus::Success, (format, record))
}

fn ended(
    service: &str,
    action: &str,
    status: OutcomeStatus,
    (format, record): (&str, &Value),
) -> Vec<ResourceLife> {
    let activity = Activity {
        kind: ActivityKind::ApiCalled,
        action: action.into(),
        service: Some(service.into()),
        actor: Actor::default(),
        resources: Vec::new(),
        outcome: Outcome { status, ..Outcome::default() },
        read_only: None,
        request_id: None,
    };
    of_activity(&activity, Some((format, &record.to_string())), &prices())
}

fn cloudtrail(service: &str, action: &str, request: &Value, response: &Value) -> Vec<ResourceLife> {
    let record = json!({
        "awsRegion": "us-east-1", "recipientAccountId": "42",
        "requestParameters": request, "responseElements": response,
    });
    call(&format!("{service}.amazonaws.com"), action, "aws.cloudtrail", &record)
}

/// Id, kind, price by the hour, size, running.
fn shown(lives: &[ResourceLife]) -> Vec<String> {
    let one = |life: &ResourceLife| {
        let told = &life.told;
        format!(
            "{} {} {} {} {}",
            life.series.resource,
            life.kind.name(),
            told.price.map_or("-".to_owned(), |price| price.hourly.to_string()),
            told.size_gb.map_or("-".to_owned(), |size| size.to_string()),
            told.running.map_or("-".to_owned(), |running| running.to_string()),
        )
    };
    lives.iter().map(one).collect()
}

#[test]
fn calls_of_aws_make_change_and_delete() {
    let two = json!({"instancesSet": {"items": [
        {"instanceId": "i-1", "instanceType": "m7g.large", "tagSet": {"items": [{"key": "team", "value": "core"}]}},
        {"instanceId": "i-2", "instanceType": "m7g.large"},
    ]}});
    let started = cloudtrail("ec2", "RunInstances", &json!({"instanceType": "m7g.large"}), &two);
    assert_eq!(
        shown(&started),
        [
            "arn:aws:ec2:us-east-1:42:instance/i-1 provisioned 0.0816 - -",
            "arn:aws:ec2:us-east-1:42:instance/i-2 provisioned 0.0816 - -"
        ]
    );
    assert_eq!(started[0].series.tags["team"], "core");
    assert_eq!(
        shown(&cloudtrail("ec2", "StopInstances", &two, &Value::Null))[0],
        "arn:aws:ec2:us-east-1:42:instance/i-1 scaled 0.0816 - false"
    );
    let resized = json!({"instanceId": "i-1", "instanceType": {"value": "m7g.xlarge"}});
    assert_eq!(
        shown(&cloudtrail("ec2", "ModifyInstanceAttribute", &resized, &json!({"_return": true}))),
        ["arn:aws:ec2:us-east-1:42:instance/i-1 scaled 0.1632 - -"]
    );
    let other = json!({"instanceId": "i-1", "disableApiTermination": {"value": true}});
    assert_eq!(
        shown(&cloudtrail("ec2", "ModifyInstanceAttribute", &other, &Value::Null)),
        ["arn:aws:ec2:us-east-1:42:instance/i-1 scaled - - -"]
    );
    let grown = json!({"ModifyVolumeResponse": {"volumeModification":
        {"volumeId": "vol-1", "originalSize": 8, "targetSize": 80, "targetVolumeType": "gp3"}}});
    let lives =
        cloudtrail("ec2", "ModifyVolume", &json!({"ModifyVolumeRequest": {"VolumeId": "vol-1"}}), &grown);
    assert_eq!(shown(&lives), ["arn:aws:ec2:us-east-1:42:volume/vol-1 scaled 0 80 -"]);
    let database = json!({"dBInstanceIdentifier": "orders", "dBInstanceClass": "db.t3.micro", "engine": "postgres",
        "allocatedStorage": 20, "multiAZ": false});
    let lives = cloudtrail("rds", "CreateDBInstance", &database, &Value::Null);
    assert_eq!(lives[0].series.resource, "arn:aws:rds:us-east-1:42:db:orders");
    assert_eq!(lives[0].told.size_gb, Some(Decimal::from(20)));
    assert!(lives[0].told.price.is_some(), "{:?}", lives[0].told);
    assert!(cloudtrail("ec2", "DescribeInstances", &two, &two).is_empty());
    assert!(cloudtrail("ec2", "RunInstances", &Value::Null, &Value::Null).is_empty());
}

#[test]
fn changes_of_databases_and_caches_accrue_at_the_new_size() {
    let orders = "arn:aws:rds:us-east-1:42:db:orders";
    let database = |pending: Value| {
        json!({"dBInstanceIdentifier": "orders", "dBInstanceArn": orders, "dBInstanceClass": "db.t3.micro",
            "engine": "postgres", "engineVersion": "16.3", "dBInstanceStatus": "available", "allocatedStorage": 20,
            "storageType": "gp2", "multiAZ": false, "pendingModifiedValues": pending})
    };
    let request = json!({"dBInstanceIdentifier": "orders", "dBInstanceClass": "db.t3.medium", "allocatedStorage": 100,
        "applyImmediately": true, "allowMajorVersionUpgrade": false});
    for pending in [json!({}), json!({"dBInstanceClass": "db.t3.medium", "allocatedStorage": 100})] {
        let lives = cloudtrail("rds", "ModifyDBInstance", &request, &database(pending));
        assert_eq!(shown(&lives), [format!("{orders} scaled 0.072 100 -")]);
    }
    // What is pending is what AWS made of the request.
    let pending = database(json!({"dBInstanceClass": "db.t3.small", "dBInstanceIdentifier": "renamed"}));
    let lives = cloudtrail("rds", "ModifyDBInstance", &request, &pending);
    assert_eq!(shown(&lives), [format!("{orders} scaled 0.036 100 -")]);
    let other = json!({"dBInstanceIdentifier": "orders", "backupRetentionPeriod": 7});
    let lives = cloudtrail("rds", "ModifyDBInstance", &other, &database(json!({})));
    assert_eq!(shown(&lives), [format!("{orders} scaled 0.018 20 -")]);

    let sessions = "arn:aws:elasticache:us-east-1:42:cluster:sessions";
    let request = json!({"cacheClusterId": "sessions", "cacheNodeType": "cache.t3.medium", "numCacheNodes": 3,
        "applyImmediately": true});
    let response = json!({"cacheClusterId": "sessions", "aRN": sessions, "engine": "memcached",
        "cacheClusterStatus": "modifying", "cacheNodeType": "cache.t3.micro", "numCacheNodes": 1,
        "pendingModifiedValues": {"numCacheNodes": 3, "cacheNodeType": "cache.t3.medium"}});
    let lives = cloudtrail("elasticache", "ModifyCacheCluster", &request, &response);
    assert_eq!(shown(&lives), [format!("{sessions} scaled 0.204 - -")]);
}

#[test]
fn calls_of_azure_count_once_they_have_succeeded() {
    let id = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
    let record = |status: &str| {
        let body = r#"{"location":"westeurope","tags":{"team":"core"},"properties":{"hardwareProfile":{"vmSize":"Standard_D2s_v3"}}}"#;
        json!({"resourceId": id, "resultType": status, "properties": {"responseBody": body}})
    };
    let made = |status: &str| {
        call("x", "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE", "azure.activity", &record(status))
    };
    let lives = made("Success");
    assert_eq!((lives.len(), lives[0].series.sub_account.as_str()), (1, "s-1"));
    assert_eq!(
        (lives[0].series.provider.as_str(), lives[0].series.tags["team"].as_str()),
        ("Microsoft", "core")
    );
    assert!(lives[0].told.price.is_some(), "{:?}", lives[0].told);
    assert!(made("Accept").is_empty());
    let stopped = call(
        "x",
        "Microsoft.Compute/virtualMachines/deallocate/action",
        "azure.activity",
        &record("Success"),
    );
    assert_eq!(stopped[0].told.running, Some(false));
    assert!(call("x", "Microsoft.Network/vnets/write", "azure.activity", &record("Success")).is_empty());
}

#[test]
fn calls_of_google_name_zone_and_type_in_their_request() {
    let record = json!({"protoPayload": {
        "resourceName": "projects/p-1/zones/us-central1-a/instances/vm",
        "request": {"machineType": "zones/us-central1-a/machineTypes/e2-medium", "labels": {"team": "core"}},
    }});
    let lives = call("compute.googleapis.com", "v1.compute.instances.insert", "gcp.audit", &record);
    assert_eq!(
        (lives[0].series.region.as_str(), lives[0].series.sub_account.as_str()),
        ("us-central1", "p-1")
    );
    assert!(lives[0].told.price.is_some(), "{:?}", lives[0].told);
    let deleted = call("compute.googleapis.com", "beta.compute.instances.delete", "gcp.audit", &record);
    assert_eq!(deleted[0].kind, LifecycleKind::Deleted);
}

#[test]
fn an_insert_of_google_that_fails_after_it_was_accepted_ends_what_it_began() {
    let record = |operation: Value| {
        json!({"operation": operation, "protoPayload": {
            "resourceName": "projects/p-1/zones/us-central1-a/instances/vm",
            "request": {"machineType": "zones/us-central1-a/machineTypes/e2-medium"},
        }})
    };
    let google = |verb: &str, status: OutcomeStatus, operation: Value| {
        let action = format!("v1.compute.instances.{verb}");
        ended("compute.googleapis.com", &action, status, ("gcp.audit", &record(operation)))
    };
    let accepted = google("insert", OutcomeStatus::Success, json!({"id": "op", "first": true}));
    let failed = google("insert", OutcomeStatus::Failure, json!({"id": "op", "last": true}));
    assert_eq!((accepted.len(), failed.len()), (1, 1));
    assert_eq!((accepted[0].kind, failed[0].kind), (LifecycleKind::Provisioned, LifecycleKind::Deleted));
    assert_eq!(accepted[0].series.resource, failed[0].series.resource);

    let instant = |text: &str| text.parse().expect("an instant");
    let event = |id: u128, at: &str, life: &ResourceLife| accrual::Lifecycle {
        at: instant(at),
        id: uuid::Uuid::from_u128(id),
        kind: life.kind,
        told: life.told.clone(),
    };
    // The second event may arrive first, and within the same second.
    for end in ["2025-05-01T10:00:00Z", "2025-05-01T10:01:00Z"] {
        let mut events = [event(2, "2025-05-01T10:00:00Z", &accepted[0]), event(1, end, &failed[0])];
        for _ in 0..2 {
            assert!(!accrual::standing(&events).exists, "{end}");
            assert!(
                accrual::life(&events).intervals.iter().all(|interval| interval.until.is_some()),
                "{end}"
            );
            events.reverse();
        }
    }

    // What was not accepted made nothing, and other operations that fail change nothing.
    for operation in [json!({}), json!({"first": true}), json!({"first": true, "last": true})] {
        assert!(google("insert", OutcomeStatus::Failure, operation).is_empty());
    }
    for verb in ["delete", "stop", "setMachineType"] {
        assert!(google(verb, OutcomeStatus::Failure, json!({"id": "op", "last": true})).is_empty(), "{verb}");
    }
}
