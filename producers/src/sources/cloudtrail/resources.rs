//! Resources of a call: the record's `resources`, and those that its request names; of EC2 also those that its answer names.

mod named;

use schemas::events::Resource;
use serde_json::value::RawValue;

use self::named::{EC2_IDS, EC2_SERVICES, Named, SERVICES, kind_of_arn};
use super::partition::partition_of;
use crate::sources::fields::Fields;

/// Maximum number of resources taken from one record.
const MAX_RESOURCES: usize = 50;
/// Maximum length of a resource name in a request parameter, in bytes.
const MAX_NAME_BYTES: usize = 1_024;
/// Maximum length of a text of EC2 with its tag.
const MAX_TAGGED_BYTES: usize = MAX_NAME_BYTES + 100;

/// Beginnings of the names of EC2's calls that make something: the calls are about what they made first.
const MAKING: [&str; 6] = ["Run", "Create", "Copy", "Allocate", "Import", "Register"];

/// Resources of a record in an account; none where it is no record.
pub(crate) fn resources_in(record: &str, account: &str) -> Vec<Resource> {
    Fields::parse(record)
        .map_or_else(|_| Vec::new(), |record| resources_of(&record, Some(account.to_owned())))
}

/// Resources of the call. Never empty if the account is known: a call without other resources is about its
/// account.
pub(super) fn resources_of(record: &Fields<'_>, account: Option<String>) -> Vec<Resource> {
    let region = record.text("awsRegion");
    let place = Resource { cloud: Some("aws".into()), account, region, ..Resource::default() };
    let mut resources = listed(record, &place);
    let service = record.plain_text("eventSource").unwrap_or_default();
    let action = record.plain_text("eventName").unwrap_or_default();
    let call = Call { action: &action, service: short(&service), partition: partition_of(record) };
    let listed = resources.len();
    let mut found = Found { call, place: &place, listed, resources: &mut resources };
    let parameters = record.object("requestParameters");
    let answer = record.inner("responseElements").filter(|_| call.service == "ec2");
    let makes = MAKING.iter().any(|begin| action.starts_with(begin));
    if makes && let Some(answer) = &answer {
        found.made(answer);
    }
    if let Some(parameters) = &parameters {
        found.named(parameters);
        if let Some(inside) = call.inside(parameters, "Request") {
            found.named(&inside);
        }
    }
    if !makes && let Some(answer) = &answer {
        found.made(answer);
    }
    if resources.is_empty()
        && let Some(account) = place.account.clone()
    {
        resources.push(Resource { kind: Some("AWS::Account".into()), id: account, ..place });
    }
    resources
}

fn listed(record: &Fields<'_>, place: &Resource) -> Vec<Resource> {
    let one = |told: &Fields<'_>| {
        let id = told.text("ARN").or_else(|| told.text("ARNPrefix"))?;
        let account = told.text("accountId").or_else(|| place.account.clone());
        Some(Resource { kind: told.text("type"), name: name_in(&id), id, account, ..place.clone() })
    };
    let mut resources: Vec<Resource> = Vec::new();
    for resource in record.objects("resources", MAX_RESOURCES).iter().filter_map(one) {
        if !resources.iter().any(|known| known.id == resource.id) {
            resources.push(resource);
        }
    }
    resources
}

/// A call: its name, and the service and partition that it went to.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// Its name: `CreateUser`.
    action: &'a str,
    /// The service, as `eventSource` begins: `iam`.
    service: &'a str,
    /// The partition: `aws`, `aws-us-gov`, `aws-cn`.
    partition: &'a str,
}

fn short(source: &str) -> &str {
    source.strip_suffix(".amazonaws.com").unwrap_or(source)
}

/// Resources of a call as they are found.
struct Found<'a> {
    call: Call<'a>,
    place: &'a Resource,
    /// Number of resources that the record lists itself.
    listed: usize,
    resources: &'a mut Vec<Resource>,
}

impl Found<'_> {
    fn add(&mut self, resource: Option<Resource>) {
        if let Some(resource) = resource
            && self.resources.len() < MAX_RESOURCES
            && !self.resources.iter().any(|known| known.id == resource.id)
            && !self.is_listed(&resource.id)
        {
            self.resources.push(resource);
        }
    }

    /// Whether a name, such as the id of a key, is the end of an ARN that the record lists.
    fn is_listed(&self, name: &str) -> bool {
        let ends = |arn: &str| arn.strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        self.resources.iter().take(self.listed).any(|known| known.id.starts_with("arn:") && ends(&known.id))
    }

    /// Adds what the request names: by the service's own parameters first, then by ids and ARNs in any parameter.
    fn named(&mut self, parameters: &Fields<'_>) {
        let call = self.call;
        for named in call.own() {
            // Asked only where it is there as a text: other types are the request's own business.
            let name = parameters.raw(named.parameter).and_then(|raw| text_of(raw.get()));
            self.add(name.and_then(|name| resource_named(call, named.parameter, &name, self.place)));
        }
        self.texts(parameters);
        if self.call.service == "ec2" {
            self.sets(parameters, |parameter| parameter.ends_with("Id"));
        }
    }

    /// Adds what EC2's answer says was made: `{"snapshotId"}`, `{"vpc": {"vpcId"}}`, `{"instancesSet": {"items": [{"instanceId"}]}}`.
    fn made(&mut self, answer: &Fields<'_>) {
        let inside = self.call.inside(answer, "Response");
        let answer = inside.as_ref().unwrap_or(answer);
        self.texts(answer);
        for (name, _) in answer.entries().filter(|(_, value)| value.starts_with('{')) {
            let id = answer.inner(name).and_then(|inner| inner.plain_text(&format!("{name}Id")));
            self.add(id.and_then(|id| self.call.resource_with_id(&id, self.place)));
        }
        self.sets(answer, |parameter| parameter == "instanceId");
    }

    /// Ids and ARNs that are texts of the object, or lists of texts.
    fn texts(&mut self, object: &Fields<'_>) {
        for (parameter, value) in object.entries() {
            if let Some(text) = text_of(value) {
                self.add(resource_named(self.call, parameter, &text, self.place));
            } else if value.starts_with('[')
                && let Some(one) = element_of(parameter, self.call.service)
            {
                for text in texts_of(value) {
                    self.add(resource_named(self.call, one, &text, self.place));
                }
            }
        }
    }

    /// Ids in lists, which EC2 writes as `{"instancesSet": {"items": [{"instanceId": "i-1"}]}}`.
    fn sets(&mut self, object: &Fields<'_>, asked: impl Fn(&str) -> bool) {
        for (set, _) in
            object.entries().filter(|(name, value)| name.ends_with("Set") && value.starts_with('{'))
        {
            let items = object.inner(set).map(|set| set.quiet_objects("items", MAX_RESOURCES));
            for item in items.unwrap_or_default() {
                for (_, value) in item.entries().filter(|(name, _)| asked(name)) {
                    let id = text_of(value);
                    self.add(id.and_then(|id| self.call.resource_with_id(&id, self.place)));
                }
            }
        }
    }
}

/// The text of a JSON value that is one, also as EC2 writes it: `{"content": "vol-1", "tag": 1}`.
fn text_of(value: &str) -> Option<String> {
    let is_tagged = value.starts_with('{') && value.len() <= MAX_TAGGED_BYTES && value.contains("\"tag\"");
    if is_tagged {
        return Fields::parse(value).ok()?.plain_text("content");
    }
    value.starts_with('"').then(|| serde_json::from_str(value).ok())?
}

/// The texts of a JSON list.
fn texts_of(value: &str) -> Vec<String> {
    let elements: Vec<&RawValue> = serde_json::from_str(value).unwrap_or_default();
    elements.into_iter().take(MAX_RESOURCES).filter_map(|element| text_of(element.get())).collect()
}

/// Name of each element of a list, if the elements are ARNs or ids of EC2: `instanceIds` has an `instanceId` each.
fn element_of<'n>(list: &'n str, service: &str) -> Option<&'n str> {
    let one = list.strip_suffix('s').unwrap_or(list);
    let is_id = one.ends_with("Id") && EC2_SERVICES.contains(&service);
    (is_id || ends_in_arn(one)).then_some(one)
}

fn ends_in_arn(parameter: &str) -> bool {
    parameter.len() >= 3 && parameter.as_bytes()[parameter.len() - 3..].eq_ignore_ascii_case(b"arn")
}

/// The resource that a request parameter names, if the parameter is known for the called service, or its value says by itself
/// what it names.
fn resource_named(call: Call<'_>, parameter: &str, name: &str, place: &Resource) -> Option<Resource> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
        return None;
    }
    let is_parameter = |known: &str| known.eq_ignore_ascii_case(parameter);
    if let Some(named) = call.own().find(|named| is_parameter(named.parameter)) {
        let id = match named.arn {
            Some(arn) if !name.starts_with("arn:") => full_arn(arn, call.partition, place, name),
            _ => None,
        };
        return Some(resource(named.kind, id.unwrap_or_else(|| name.to_owned()), name, place));
    }
    if ends_in_arn(parameter) && name.starts_with("arn:") {
        let known = kind_of_arn(name).map(str::to_owned);
        return Some(Resource { kind: known, ..resource("", name.to_owned(), name, place) });
    }
    // Session Manager calls the instance its target.
    let names_id = parameter.ends_with("Id") || parameter == "target";
    names_id.then(|| call.resource_with_id(name, place))?
}

impl Call<'_> {
    /// Parameters of the service that name resources in this call.
    fn own(self) -> impl Iterator<Item = &'static Named> {
        let of_service = SERVICES.iter().filter(move |(services, _)| services.contains(&self.service));
        let named = of_service.flat_map(|(_, named)| *named);
        named.filter(move |named| self.action.contains(named.calls))
    }

    /// The object that newer calls of EC2 wrap their parameters in: `{"CreateFlowLogsRequest": {…}}`.
    fn inside<'f>(self, object: &Fields<'f>, ending: &str) -> Option<Fields<'f>> {
        (self.service == "ec2").then(|| object.inner(&format!("{}{ending}", self.action)))?
    }

    /// The resource of EC2 that has that id.
    fn resource_with_id(self, id: &str, place: &Resource) -> Option<Resource> {
        let is_id = |prefix: &str| {
            let rest = id.strip_prefix(prefix);
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        let (_, kind, arn) = EC2_IDS.iter().find(|(prefix, _, _)| is_id(prefix))?;
        let is_of_ec2 = EC2_SERVICES.contains(&self.service);
        let arn = is_of_ec2.then(|| full_arn(arn, self.partition, place, id))?;
        Some(resource(kind, arn.unwrap_or_else(|| id.to_owned()), id, place))
    }
}

fn resource(kind: &str, id: String, name: &str, place: &Resource) -> Resource {
    let name = name_in(name).unwrap_or_else(|| name.to_owned());
    Resource { kind: Some(kind.into()), id, name: Some(name), ..place.clone() }
}

/// `iam:user/` and `ada` to `arn:aws:iam::<account>:user/ada`. IAM has no regions; buckets, snapshots and images have no
/// account.
fn full_arn(pattern: &str, partition: &str, place: &Resource, name: &str) -> Option<String> {
    let (service, path) = pattern.split_once(':')?;
    if service == "s3" {
        return Some(format!("arn:{partition}:s3:::{name}"));
    }
    let has_account = !matches!(pattern, "ec2:snapshot/" | "ec2:image/");
    let account = if has_account { place.account.as_deref()? } else { "" };
    let region = if service == "iam" { "" } else { place.region.as_deref()? };
    Some(format!("arn:{partition}:{service}:{region}:{account}:{path}{name}"))
}

/// The last part of an ARN.
fn name_in(id: &str) -> Option<String> {
    let resource = id.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let name = resource.rsplit(['/', ':']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
