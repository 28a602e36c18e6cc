//! Users, roles, groups, and what they may do. Documents of policies are percent-encoded in items.

use serde_json::{Value, json};

use super::{super::seen::Seen, Item, Read, arguments};

pub(super) const READERS: &[(&str, Read)] = &[
    ("AWS::IAM::Policy", policy),
    ("AWS::IAM::Role", role),
    ("AWS::IAM::User", |item| granted(item, "user")),
    ("AWS::IAM::Group", |item| granted(item, "group")),
];

fn policy(item: &Item<'_>) -> Vec<Seen> {
    let versions = item.told("policyVersionList").as_array().into_iter().flatten();
    let document =
        versions.clone().find(|version| version["isDefaultVersion"] == true).or(versions.clone().next());
    let Some(document) = document.and_then(|version| decoded(&version["document"])) else {
        return vec![item.unreadable("aws_iam_policy", "the item shows no version of the policy".into())];
    };
    let config = json!({"name": item.told("policyName"), "arn": item.id(), "policy": document});
    vec![item.itself("aws_iam_policy", arguments(config), json!({}))]
}

fn role(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "name": item.told("roleName"),
        "arn": item.id(),
        "assume_role_policy": decoded(item.told("assumeRolePolicyDocument")),
    });
    let mut seen = vec![item.itself("aws_iam_role", arguments(config), json!({}))];
    seen.extend(granted(item, "role"));
    seen
}

/// Inline policies and attachments, named as the calls that make them are.
fn granted(item: &Item<'_>, owner: &str) -> Vec<Seen> {
    let name = item.name();
    let list = |name: String| item.told(&name).as_array().cloned().unwrap_or_default();
    let account = item.place.account.as_deref().unwrap_or_default();
    let partition = item.id().split(':').nth(1).unwrap_or("aws");
    let id = |part: &str, what: &str| format!("arn:{partition}:iam::{account}:{owner}/{name}/{part}/{what}");
    let inline = list(format!("{owner}PolicyList")).into_iter().filter_map(|one| {
        let (named, document) = (one["policyName"].as_str()?.to_owned(), decoded(&one["policyDocument"])?);
        let config = json!({"name": named, owner: name, "policy": document});
        Some(item.part(&id("policy", &named), &format!("aws_iam_{owner}_policy"), (config, json!({}))))
    });
    let attached = list("attachedManagedPolicies".into()).into_iter().filter_map(|one| {
        let arn = one["policyArn"].as_str()?.to_owned();
        let config = json!({owner: name, "policy_arn": arn});
        Some(item.part(
            &id("attachment", &arn),
            &format!("aws_iam_{owner}_policy_attachment"),
            (config, json!({})),
        ))
    });
    inline.chain(attached).collect()
}

/// A document as it is read, without its percent-encoding.
fn decoded(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    if text.trim_start().starts_with('{') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
