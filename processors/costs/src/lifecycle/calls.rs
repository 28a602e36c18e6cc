//! API calls of three clouds that create, change and delete resources which are billed by the second, from
//! native records.
//!
//! Sources: CloudTrail's record contents, the events of Azure's activity log, and Cloud Audit Logs' `AuditLog`.

use schemas::{
    changes::cost::{LifecycleKind, ResourceLife},
    envelope::native_format,
    events::{Activity, OutcomeStatus, Resource},
};
use serde_json::{Map, Value};

use super::{MAX_RESOURCES, Seen};
use crate::prices::PriceList;
use LifecycleKind::{Deleted, Provisioned, Scaled};

/// Effect of a call on a resource.
#[derive(Clone, Copy)]
struct Effect {
    kind: LifecycleKind,
    /// Whether the resource runs afterwards, if the call starts or stops it.
    running: Option<bool>,
}

const fn effect(kind: LifecycleKind) -> Effect {
    Effect { kind, running: None }
}

const STOPPED: Effect = Effect { kind: Scaled, running: Some(false) };
const STARTED: Effect = Effect { kind: Scaled, running: Some(true) };

/// The lifecycle events in a record. Records of other calls are not parsed.
pub(super) fn lives(
    activity: &Activity,
    format: &str,
    record: &str,
    prices: &PriceList,
) -> Vec<ResourceLife> {
    match (format, activity.outcome.status) {
        (native_format::GCP_AUDIT, _) => gcp(activity, record, prices),
        (_, OutcomeStatus::Failure) => Vec::new(),
        (native_format::CLOUDTRAIL, _) => aws(activity, record, prices),
        (native_format::AZURE_ACTIVITY, _) => azure(activity, record, prices),
        _ => Vec::new(),
    }
}

fn life(
    resource: &Resource,
    effect: Effect,
    configuration: Map<String, Value>,
    prices: &PriceList,
) -> ResourceLife {
    let mut life = Seen { resource, kind: effect.kind, configuration }.priced(prices);
    life.told.running = effect.running;
    if effect.running.is_some() {
        life.told.unpriced = None;
    }
    life
}

/// Location of the resources of an AWS call: a list, or the single resource of the call.
struct AwsCall {
    service: &'static str,
    action: &'static str,
    kind: &'static str,
    effect: Effect,
    /// Paths to lists of resources in the record; each element is one.
    lists: &'static [&'static str],
    /// Paths to objects that describe the single resource, the most reliable first; their members are merged.
    objects: &'static [&'static str],
    /// Paths to objects with the sizes that a change sets, the least reliable first: the others tell the old ones.
    changed: &'static [&'static str],
    /// Members that contain the id, in lower case.
    ids: &'static [&'static str],
    /// Part of the ARN before the id.
    arn: &'static str,
}

const fn of_instances(action: &'static str, effect: Effect) -> AwsCall {
    AwsCall {
        service: "ec2",
        action,
        kind: "AWS::EC2::Instance",
        effect,
        lists: &["responseElements/instancesSet/items", "requestParameters/instancesSet/items"],
        objects: &[],
        changed: &[],
        ids: &["instanceid"],
        arn: "instance/",
    }
}

const fn of_one(
    service: &'static str,
    action: &'static str,
    kind: &'static str,
    effect: Effect,
    (ids, arn): (&'static [&'static str], &'static str),
) -> AwsCall {
    AwsCall { service, action, kind, effect, lists: &[], objects: OBJECTS, changed: &[], ids, arn }
}

/// A call whose response describes the resource as it was.
const fn of_change(
    service: &'static str,
    action: &'static str,
    kind: &'static str,
    ids: (&'static [&'static str], &'static str),
) -> AwsCall {
    AwsCall { changed: CHANGED, ..of_one(service, action, kind, effect(Scaled), ids) }
}

const OBJECTS: &[&str] = &[
    "responseElements",
    "responseElements/ModifyVolumeResponse/volumeModification",
    "responseElements/CreateNatGatewayResponse/natGateway",
    "requestParameters",
    "requestParameters/ModifyVolumeRequest",
    "requestParameters/DeleteNatGatewayRequest",
    "requestParameters/CreateNatGatewayRequest",
];
const CHANGED: &[&str] = &["requestParameters", "responseElements/pendingModifiedValues"];
/// Members of those objects that are sizes, in lower case.
const SIZES: [&str; 7] = [
    "dbinstanceclass",
    "allocatedstorage",
    "storagetype",
    "iops",
    "multiaz",
    "cachenodetype",
    "numcachenodes",
];
const VOLUME: (&[&str], &str) = (&["volumeid"], "volume/");
const DATABASE: (&[&str], &str) = (&["dbinstancearn", "dbinstanceidentifier"], "db:");
const CACHE: (&[&str], &str) = (&["arn", "cacheclusterid"], "cluster:");
const NAT: (&[&str], &str) = (&["natgatewayid"], "natgateway/");
const BALANCER: (&[&str], &str) = (&["loadbalancerarn"], "loadbalancer/");

const AWS: &[AwsCall] = &[
    of_instances("RunInstances", effect(Provisioned)),
    of_instances("StartInstances", STARTED),
    of_instances("StopInstances", STOPPED),
    of_instances("TerminateInstances", effect(Deleted)),
    of_one(
        "ec2",
        "ModifyInstanceAttribute",
        "AWS::EC2::Instance",
        effect(Scaled),
        (&["instanceid"], "instance/"),
    ),
    of_one("ec2", "CreateVolume", "AWS::EC2::Volume", effect(Provisioned), VOLUME),
    of_one("ec2", "ModifyVolume", "AWS::EC2::Volume", effect(Scaled), VOLUME),
    of_one("ec2", "DeleteVolume", "AWS::EC2::Volume", effect(Deleted), VOLUME),
    of_one("ec2", "CreateNatGateway", "AWS::EC2::NatGateway", effect(Provisioned), NAT),
    of_one("ec2", "DeleteNatGateway", "AWS::EC2::NatGateway", effect(Deleted), NAT),
    of_one("rds", "CreateDBInstance", "AWS::RDS::DBInstance", effect(Provisioned), DATABASE),
    of_change("rds", "ModifyDBInstance", "AWS::RDS::DBInstance", DATABASE),
    of_one("rds", "StartDBInstance", "AWS::RDS::DBInstance", STARTED, DATABASE),
    of_one("rds", "StopDBInstance", "AWS::RDS::DBInstance", STOPPED, DATABASE),
    of_one("rds", "DeleteDBInstance", "AWS::RDS::DBInstance", effect(Deleted), DATABASE),
    of_one("elasticache", "CreateCacheCluster", "AWS::ElastiCache::CacheCluster", effect(Provisioned), CACHE),
    of_change("elasticache", "ModifyCacheCluster", "AWS::ElastiCache::CacheCluster", CACHE),
    of_one("elasticache", "DeleteCacheCluster", "AWS::ElastiCache::CacheCluster", effect(Deleted), CACHE),
    AwsCall {
        lists: &["responseElements/loadBalancers"],
        ..of_one(
            "elasticloadbalancing",
            "CreateLoadBalancer",
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            effect(Provisioned),
            BALANCER,
        )
    },
    of_one(
        "elasticloadbalancing",
        "DeleteLoadBalancer",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        effect(Deleted),
        BALANCER,
    ),
];

fn aws(activity: &Activity, record: &str, prices: &PriceList) -> Vec<ResourceLife> {
    let service =
        activity.service.as_deref().and_then(|service| service.split('.').next()).unwrap_or_default();
    let call = AWS.iter().find(|call| call.service == service && call.action == activity.action);
    let Some((call, Ok(record))) = call.map(|call| (call, serde_json::from_str::<Value>(record))) else {
        return Vec::new();
    };
    let account = text(&record, "recipientAccountId").or_else(|| text(&record, "userIdentity/accountId"));
    let place = Resource {
        cloud: Some("aws".into()),
        account: account.clone(),
        region: text(&record, "awsRegion"),
        kind: Some(call.kind.into()),
        ..Resource::default()
    };
    let mut told: Vec<Map<String, Value>> = Vec::new();
    for list in call.lists.iter().filter_map(|path| at(&record, path)?.as_array()) {
        if told.is_empty() {
            told.extend(list.iter().filter_map(Value::as_object).take(MAX_RESOURCES).cloned());
        }
    }
    if told.is_empty() {
        let mut whole = Map::new();
        for object in call.objects.iter().filter_map(|path| at(&record, path)?.as_object()) {
            for (name, value) in object {
                whole.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        for object in call.changed.iter().filter_map(|path| at(&record, path)?.as_object()) {
            set_sizes(&mut whole, object);
        }
        told.push(whole);
    }
    told.into_iter()
        .filter_map(|configuration| {
            let id = call.ids.iter().find_map(|id| member(&configuration, id))?;
            let id = if id.starts_with("arn:") { id } else { arn(&place, call, &id) };
            let resource = Resource { id, tags: tags(&configuration), ..place.clone() };
            Some(life(&resource, call.effect, target_sizes(configuration), prices))
        })
        .collect()
}

/// Sets the sizes that an object states.
fn set_sizes(whole: &mut Map<String, Value>, object: &Map<String, Value>) {
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        if SIZES.iter().any(|size| name.eq_ignore_ascii_case(size)) {
            whole.retain(|other, _| !other.eq_ignore_ascii_case(name));
            whole.insert(name.clone(), value.clone());
        }
    }
}

/// Moves the new sizes of a modified volume to the usual names.
fn target_sizes(mut configuration: Map<String, Value>) -> Map<String, Value> {
    for (target, name) in [
        ("targetSize", "size"),
        ("targetVolumeType", "volumeType"),
        ("targetIops", "iops"),
        ("targetThroughput", "throughput"),
    ] {
        if let Some(value) = configuration.remove(target) {
            configuration.insert(name.to_owned(), value);
        }
    }
    configuration
}

fn arn(place: &Resource, call: &AwsCall, id: &str) -> String {
    let (region, account) = (place.region.as_deref(), place.account.as_deref());
    format!(
        "arn:aws:{}:{}:{}:{}{id}",
        call.service,
        region.unwrap_or_default(),
        account.unwrap_or_default(),
        call.arn
    )
}

fn tags(configuration: &Map<String, Value>) -> std::collections::BTreeMap<String, String> {
    let items =
        configuration.get("tagSet").and_then(|set| set.get("items")).or_else(|| configuration.get("tags"));
    let items = items.and_then(Value::as_array).into_iter().flatten();
    items
        .filter_map(|item| {
            let item = item.as_object()?;
            Some((member(item, "key")?, member(item, "value").unwrap_or_default()))
        })
        .take(50)
        .collect()
}

fn azure(activity: &Activity, record: &str, prices: &PriceList) -> Vec<ResourceLife> {
    let action = activity.action.to_ascii_lowercase();
    let Some((kind, verb)) = action.strip_suffix("/action").unwrap_or(&action).rsplit_once('/') else {
        return Vec::new();
    };
    let effect = match verb {
        "write" => effect(Provisioned),
        "delete" => effect(Deleted),
        "start" => STARTED,
        "deallocate" => STOPPED,
        _ => return Vec::new(),
    };
    if super::Kind::of(kind).is_none() {
        return Vec::new();
    }
    let Ok(record) = serde_json::from_str::<Value>(record) else { return Vec::new() };
    let status = ["status/value", "status", "resultType", "ActivityStatusValue"]
        .iter()
        .find_map(|path| text(&record, path))
        .unwrap_or_default()
        .to_ascii_lowercase();
    // A call is logged when it is accepted and when it has succeeded.
    if !matches!(status.as_str(), "succeeded" | "success" | "") {
        return Vec::new();
    }
    let id = ["resourceId", "ResourceId", "_ResourceId"].iter().find_map(|name| text(&record, name));
    let Some(id) = id.or_else(|| activity.resources.first().map(|resource| resource.id.clone())) else {
        return Vec::new();
    };
    let body = ["properties/responseBody", "properties/responsebody", "properties/requestbody"]
        .iter()
        .find_map(|path| text(&record, path))
        .and_then(|body| serde_json::from_str::<Value>(&body).ok())
        .unwrap_or_default();
    let mut configuration = Map::new();
    for path in ["properties/hardwareProfile", "properties", "sku"] {
        for (name, value) in at(&body, path).and_then(Value::as_object).into_iter().flatten() {
            let name = if path == "sku" && name == "name" { "skuName" } else { name };
            configuration.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
    }
    let subscription = id.split('/').nth(2).map(str::to_owned);
    let region = text(&body, "location").or_else(|| text(&record, "location"));
    let resource = Resource {
        cloud: Some("azure".into()),
        account: subscription,
        region: region.map(|region| region.replace(' ', "").to_ascii_lowercase()),
        kind: Some(kind.to_owned()),
        id,
        tags: string_map(body.get("tags")),
        ..Resource::default()
    };
    vec![life(&resource, effect, configuration, prices)]
}

fn gcp(activity: &Activity, record: &str, prices: &PriceList) -> Vec<ResourceLife> {
    let mut parts = activity.action.rsplit('.');
    let (verb, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = match group {
        "instances" => "compute.googleapis.com/Instance",
        "disks" => "compute.googleapis.com/Disk",
        _ => return Vec::new(),
    };
    let failed = activity.outcome.status == OutcomeStatus::Failure;
    let effect = match verb {
        "insert" if failed => effect(Deleted),
        _ if failed => return Vec::new(),
        "insert" => effect(Provisioned),
        "delete" => effect(Deleted),
        "start" => STARTED,
        "stop" => STOPPED,
        "setMachineType" | "resize" => effect(Scaled),
        _ => return Vec::new(),
    };
    if activity.service.as_deref().is_some_and(|service| service != "compute.googleapis.com") {
        return Vec::new();
    }
    let Ok(record) = serde_json::from_str::<Value>(record) else { return Vec::new() };
    // An operation is logged when it is accepted and when it ends. One that was never accepted made nothing, and the name may
    // be that of another resource.
    let is = |path| at(&record, path).and_then(Value::as_bool).unwrap_or_default();
    if failed && (is("operation/first") || !is("operation/last")) {
        return Vec::new();
    }
    let Some(id) = text(&record, "protoPayload/resourceName").filter(|id| id.contains('/')) else {
        return Vec::new();
    };
    let configuration =
        at(&record, "protoPayload/request").and_then(Value::as_object).cloned().unwrap_or_default();
    let zone = segment_after(&id, "zones");
    let region =
        zone.as_deref().map(|zone| zone.rsplit_once('-').map_or(zone, |(region, _)| region).to_owned());
    let resource = Resource {
        cloud: Some("gcp".into()),
        account: segment_after(&id, "projects"),
        region: region.or_else(|| segment_after(&id, "regions")),
        kind: Some(kind.into()),
        tags: string_map(configuration.get("labels")),
        id,
        ..Resource::default()
    };
    vec![life(&resource, effect, configuration, prices)]
}

fn segment_after(path: &str, name: &str) -> Option<String> {
    let mut parts = path.split('/');
    parts.by_ref().find(|part| *part == name)?;
    parts.next().map(str::to_owned)
}

fn string_map(value: Option<&Value>) -> std::collections::BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).take(50).collect()
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').try_fold(value, |value, name| value.get(name))
}

fn text(value: &Value, path: &str) -> Option<String> {
    at(value, path)?.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The text of a member, matched in lower case.
fn member(object: &Map<String, Value>, name: &str) -> Option<String> {
    let (_, value) = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
