//! Networks, their rules, load balancers, machines.

use serde_json::{Value, json};

use super::{super::seen::Seen, Item, Read, arguments, block, is_true};

pub(super) const READERS: &[(&str, Read)] = &[
    ("AWS::EC2::SecurityGroup", security_group),
    ("AWS::EC2::Subnet", subnet),
    ("AWS::EC2::VPC", vpc),
    ("AWS::EC2::Instance", instance),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", load_balancer),
    ("AWS::ElasticLoadBalancingV2::Listener", listener),
];

fn security_group(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "id": item.told("groupId"),
        "name": item.told("groupName"),
        "vpc_id": item.told("vpcId"),
        "ingress": rules(item.told("ipPermissions")),
        "egress": rules(item.told("ipPermissionsEgress")),
    });
    let is_default = item.text("groupName") == "default";
    let kind = if is_default { "aws_default_security_group" } else { "aws_security_group" };
    vec![item.itself(kind, arguments(config), json!({}))]
}

fn rules(told: &Value) -> Vec<Value> {
    let ranges = |rule: &Value, lists: [&str; 2], member: &str| -> Vec<String> {
        let listed = lists.into_iter().flat_map(|list| rule[list].as_array().into_iter().flatten());
        let mut ranges: Vec<String> =
            listed.filter_map(|one| one.as_str().or(one[member].as_str())).map(str::to_owned).collect();
        ranges.sort();
        ranges.dedup();
        ranges
    };
    let rule = |rule: &Value| {
        arguments(json!({
            "protocol": rule["ipProtocol"],
            "from_port": rule["fromPort"],
            "to_port": rule["toPort"],
            "cidr_blocks": ranges(rule, ["ipv4Ranges", "ipRanges"], "cidrIp"),
            "ipv6_cidr_blocks": ranges(rule, ["ipv6Ranges", "ipv6Ranges"], "cidrIpv6"),
        }))
    };
    told.as_array().into_iter().flatten().map(rule).collect()
}

fn subnet(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({
        "id": item.told("subnetId"),
        "vpc_id": item.told("vpcId"),
        "cidr_block": item.told("cidrBlock"),
        "map_public_ip_on_launch": is_true(item.told("mapPublicIpOnLaunch")),
    });
    vec![item.itself("aws_subnet", arguments(config), json!({}))]
}

fn vpc(item: &Item<'_>) -> Vec<Seen> {
    let config = json!({"id": item.told("vpcId"), "cidr_block": item.told("cidrBlock")});
    let kind = if is_true(item.told("isDefault")) { "aws_default_vpc" } else { "aws_vpc" };
    vec![item.itself(kind, arguments(config), json!({}))]
}

/// The encryption of its volumes is told by the volumes' own items, its user data by no item.
fn instance(item: &Item<'_>) -> Vec<Seen> {
    let metadata = item.told("metadataOptions");
    let config = json!({
        "id": item.told("instanceId"),
        "instance_type": item.told("instanceType"),
        "subnet_id": item.told("subnetId"),
        "monitoring": item.told("monitoring")["state"] == "enabled",
        "associate_public_ip_address": item.told("publicIpAddress").is_string(),
    });
    let mut config = arguments(config);
    let mut unknown = json!({"root_block_device": true, "ebs_block_device": true, "user_data": true,
                             "user_data_base64": true, "network_interfaces": true});
    if metadata.is_object() {
        let told = json!({"http_tokens": metadata["httpTokens"], "http_endpoint": metadata["httpEndpoint"]});
        config["metadata_options"] = block(arguments(told));
    } else {
        unknown["metadata_options"] = true.into();
    }
    vec![item.itself("aws_instance", config, unknown)]
}

fn load_balancer(item: &Item<'_>) -> Vec<Seen> {
    let listed = item.supplementary["LoadBalancerAttributes"].as_array();
    let attribute = |name: &str| {
        let mut listed = listed.into_iter().flatten();
        listed.find(|one| one["key"] == name).map(|one| is_true(&one["value"]))
    };
    let mut config = arguments(json!({
        "arn": item.id(),
        "name": item.told("loadBalancerName"),
        "load_balancer_type": item.told("type"),
    }));
    let mut unknown = json!({});
    match attribute("access_logs.s3.enabled") {
        Some(enabled) => config["access_logs"] = block(json!({"enabled": enabled})),
        None => unknown["access_logs"] = true.into(),
    }
    for (argument, name) in [
        ("enable_deletion_protection", "deletion_protection.enabled"),
        ("drop_invalid_header_fields", "routing.http.drop_invalid_header_fields.enabled"),
    ] {
        match attribute(name) {
            Some(told) => config[argument] = told.into(),
            None => unknown[argument] = true.into(),
        }
    }
    vec![item.itself("aws_lb", config, unknown)]
}

fn listener(item: &Item<'_>) -> Vec<Seen> {
    let actions = item.told("defaultActions").as_array().into_iter().flatten().map(|action| {
        let redirect = super::member(action, "redirectConfig");
        let redirect = redirect.is_object().then(|| {
            block(arguments(json!({
                "protocol": super::member(redirect, "protocol"),
                "status_code": super::member(redirect, "statusCode"),
            })))
        });
        arguments(json!({"type": super::member(action, "type"), "redirect": redirect}))
    });
    let config = json!({
        "load_balancer_arn": item.told("loadBalancerArn"),
        "port": item.told("port"),
        "protocol": item.told("protocol"),
        "ssl_policy": item.told("sslPolicy"),
        "default_action": actions.collect::<Vec<_>>(),
    });
    vec![item.itself("aws_lb_listener", arguments(config), json!({}))]
}
