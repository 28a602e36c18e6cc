//! The OCSF 1.8.0 objects that records are made of; attributes in alphabetical order.

use std::{borrow::Cow, collections::BTreeMap};

use schemas::events::Resource;
use serde::{Serialize, Serializer};

/// OCSF `product`.
#[derive(Serialize, Default)]
pub(super) struct Product<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feature: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vendor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'a str>,
}

/// An OCSF object identified by `name`, `uid` or both: a service, an account, a group, a feature, a table.
#[derive(Serialize, Default)]
pub(super) struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// OCSF `actor`.
#[derive(Serialize)]
pub(super) struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User<'a>>,
}

/// OCSF `user`.
#[derive(Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Groups::is_empty")]
    pub(super) groups: Groups<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) type_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// OCSF `session`.
#[derive(Serialize)]
pub(super) struct Session<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_mfa: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// OCSF `network_endpoint`.
#[derive(Serialize)]
pub(super) struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
}

/// OCSF `http_request`.
#[derive(Serialize)]
pub(super) struct HttpRequest<'a> {
    pub(super) user_agent: &'a str,
}

/// OCSF `api`.
#[derive(Serialize)]
pub(super) struct Api<'a> {
    pub(super) operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Named<'a>>,
}

/// OCSF `request`.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) uid: &'a str,
}

/// OCSF `response`.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<&'a str>,
}

/// OCSF `cloud`.
#[derive(Serialize)]
pub(super) struct Cloud<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<Named<'a>>,
    pub(super) provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'a str>,
}

/// OCSF `managed_entity`, `database` and `databucket`, which are shaped alike.
#[derive(Serialize)]
pub(super) struct TypedEntity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) type_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// OCSF `device`.
#[derive(Serialize)]
pub(super) struct Device<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) type_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// OCSF `finding_info`.
#[derive(Serialize)]
pub(super) struct FindingInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    pub(super) uid: Cow<'a, str>,
}

/// OCSF `compliance`.
#[derive(Serialize)]
pub(super) struct Compliance<'a> {
    pub(super) control: &'a str,
}

/// OCSF `resource_details`.
#[derive(Serialize)]
pub(super) struct ResourceDetails<'a> {
    #[serde(skip_serializing_if = "ResourceData::is_empty")]
    pub(super) data: ResourceData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'a str>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub(super) tags: Tags<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<&'a str>,
}

/// Fields of a resource for which OCSF has no attribute.
#[derive(Serialize, Clone, Copy)]
pub(super) struct ResourceData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<&'a str>,
}

impl ResourceData<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.account.is_none() && self.environment.is_none() && self.project.is_none()
    }
}

/// OCSF `key_value_object`.
#[derive(Serialize)]
pub(super) struct KeyValue<'a> {
    name: &'a str,
    value: &'a str,
}

/// A map as a list of `key_value_object`, in the order of its keys.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Tags<'a>(pub(super) Option<&'a BTreeMap<String, String>>);

impl Tags<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde's skip_serializing_if calls")]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none_or(BTreeMap::is_empty)
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.into_iter().flatten().map(|(name, value)| KeyValue { name, value }))
    }
}

/// Roles and groups as a list of OCSF `group`.
pub(super) struct Groups<'a>(pub(super) &'a [String]);

impl Groups<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|name| Named { name: Some(name), uid: None }))
    }
}

/// Resources as a list of `resource_details`.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Resources<'a>(pub(super) &'a [Resource]);

impl Resources<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Resources<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ResourceDetails::from))
    }
}
