//! Types of resources that are billed by the second: their names in CloudFormation, Azure Resource Manager,
//! Google's asset inventory and Terraform, and the arguments with their size.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// A type of resource.
pub(super) struct Kind {
    /// Name in Terraform, by which the type is priced.
    pub(super) terraform: &'static str,
    /// Other names, in lower case.
    names: &'static [&'static str],
    /// FOCUS `ServiceName`.
    pub(super) service: &'static str,
    /// FOCUS `ServiceCategory`.
    pub(super) category: &'static str,
    /// Terraform arguments with their names in other sources, in lower case without separators. The first one
    /// is required for a price; a type without arguments always has one.
    arguments: &'static [(&'static str, &'static [&'static str])],
    /// Argument with the count.
    count: Option<&'static str>,
    /// Products that are separate resources on a bill.
    pub(super) apart: &'static [&'static str],
}

const EC2: (&str, &str) = ("Amazon Elastic Compute Cloud", "Compute");
const RDS: (&str, &str) = ("Amazon Relational Database Service", "Databases");
const DISKS: &[&str] = &["volume", "volume_iops", "volume_throughput", "managed_disk", "disk"];

const fn kind(
    terraform: &'static str,
    names: &'static [&'static str],
    (service, category): (&'static str, &'static str),
    arguments: &'static [(&'static str, &'static [&'static str])],
) -> Kind {
    Kind { terraform, names, service, category, arguments, count: None, apart: &[] }
}

const KINDS: &[Kind] = &[
    Kind {
        apart: DISKS,
        ..kind(
            "aws_instance",
            &["aws::ec2::instance"],
            EC2,
            &[("instance_type", &["instancetype"]), ("tenancy", &["tenancy"])],
        )
    },
    kind(
        "aws_ebs_volume",
        &["aws::ec2::volume"],
        EC2,
        &[
            ("type", &["volumetype", "type"]),
            ("size", &["size", "sizegib", "sizegb", "volumesize"]),
            ("iops", &["iops"]),
            ("throughput", &["throughput"]),
        ],
    ),
    kind(
        "aws_db_instance",
        &["aws::rds::dbinstance"],
        RDS,
        &[
            ("instance_class", &["dbinstanceclass", "instanceclass"]),
            ("engine", &["engine"]),
            ("allocated_storage", &["allocatedstorage"]),
            ("storage_type", &["storagetype"]),
            ("iops", &["iops"]),
            ("multi_az", &["multiaz"]),
        ],
    ),
    kind(
        "aws_elasticache_cluster",
        &["aws::elasticache::cachecluster"],
        ("Amazon ElastiCache", "Databases"),
        &[("node_type", &["cachenodetype", "nodetype"]), ("num_cache_nodes", &["numcachenodes"])],
    ),
    kind("aws_nat_gateway", &["aws::ec2::natgateway"], EC2, &[]),
    kind("aws_eip", &["aws::ec2::eip"], EC2, &[]),
    kind(
        "aws_lb",
        &["aws::elasticloadbalancingv2::loadbalancer"],
        ("Elastic Load Balancing", "Networking"),
        &[("load_balancer_type", &["type", "loadbalancertype"])],
    ),
    kind(
        "aws_elb",
        &["aws::elasticloadbalancing::loadbalancer"],
        ("Elastic Load Balancing", "Networking"),
        &[],
    ),
    kind("aws_eks_cluster", &["aws::eks::cluster"], ("Amazon Elastic Kubernetes Service", "Compute"), &[]),
    Kind {
        apart: DISKS,
        count: Some("desired_size"),
        ..kind(
            "aws_eks_node_group",
            &["aws::eks::nodegroup"],
            EC2,
            &[
                ("instance_types", &["instancetypes"]),
                ("capacity_type", &["capacitytype"]),
                ("desired_size", &["desiredsize", "scalingconfig"]),
            ],
        )
    },
    kind(
        "aws_redshift_cluster",
        &["aws::redshift::cluster"],
        ("Amazon Redshift", "Analytics"),
        &[("node_type", &["nodetype"]), ("number_of_nodes", &["numberofnodes"])],
    ),
    Kind {
        apart: DISKS,
        ..kind(
            "azurerm_linux_virtual_machine",
            &["microsoft.compute/virtualmachines", "azurerm_virtual_machine"],
            ("Virtual Machines", "Compute"),
            &[("size", &["vmsize", "size"]), ("priority", &["priority"])],
        )
    },
    Kind {
        apart: DISKS,
        ..kind(
            "azurerm_windows_virtual_machine",
            &[],
            ("Virtual Machines", "Compute"),
            &[("size", &["vmsize", "size"]), ("priority", &["priority"])],
        )
    },
    kind(
        "azurerm_managed_disk",
        &["microsoft.compute/disks"],
        ("Storage", "Storage"),
        &[
            ("storage_account_type", &["storageaccounttype", "sku", "skuname"]),
            ("disk_size_gb", &["disksizegb", "size"]),
        ],
    ),
    kind(
        "azurerm_redis_cache",
        &["microsoft.cache/redis"],
        ("Azure Cache for Redis", "Databases"),
        &[("sku_name", &["skuname"]), ("family", &["family"]), ("capacity", &["capacity"])],
    ),
    kind(
        "azurerm_mssql_database",
        &["microsoft.sql/servers/databases"],
        ("Azure SQL Database", "Databases"),
        &[("sku_name", &["skuname"])],
    ),
    kind("azurerm_nat_gateway", &["microsoft.network/natgateways"], ("Virtual Network", "Networking"), &[]),
    Kind {
        apart: DISKS,
        ..kind(
            "google_compute_instance",
            &["compute.googleapis.com/instance", "gce_instance"],
            ("Compute Engine", "Compute"),
            &[("machine_type", &["machinetype"])],
        )
    },
    kind(
        "google_compute_disk",
        &["compute.googleapis.com/disk", "gce_disk"],
        ("Compute Engine", "Compute"),
        &[("type", &["type"]), ("size", &["sizegb", "size"])],
    ),
];

impl Kind {
    /// The type with that name in any vocabulary, ignoring case.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        let name = name.trim().to_ascii_lowercase();
        KINDS.iter().find(|kind| kind.terraform == name || kind.names.contains(&name.as_str()))
    }

    /// A configuration with Terraform's argument names, reduced to what prices need.
    pub(super) fn configuration(&self, told: &Map<String, Value>) -> Map<String, Value> {
        let mut found = Map::new();
        for (argument, names) in self.arguments {
            let value = told.get(*argument).or_else(|| {
                told.iter().find(|(name, _)| names.contains(&squeezed(name).as_str())).map(|(_, value)| value)
            });
            if let Some(value) = value.and_then(plain) {
                found.insert((*argument).to_owned(), value);
            }
        }
        found
    }

    /// Whether a configuration contains the argument that the price depends on.
    pub(super) fn tells_price(&self, configuration: &Map<String, Value>) -> bool {
        self.arguments
            .first()
            .is_none_or(|(first, _)| configuration.contains_key(*first) || self.terraform == "aws_lb")
    }
}

/// The size in gigabytes in a configuration.
pub(super) fn size(configuration: &Map<String, Value>) -> Option<Decimal> {
    let of = |name: &str| number(configuration.get(name)?);
    ["size", "allocated_storage", "disk_size_gb"].into_iter().find_map(of)
}

/// Takes the count out of a configuration, so that the price is for one unit.
pub(super) fn take_count(kind: &Kind, configuration: &mut Map<String, Value>) -> Option<Decimal> {
    let name = kind.count?;
    let told = configuration.remove(name);
    let count = match &told {
        Some(Value::Object(scaling)) => scaling
            .iter()
            .find(|(name, _)| squeezed(name) == "desiredsize")
            .and_then(|(_, value)| number(value)),
        Some(value) => number(value),
        None => None,
    };
    configuration.insert("scaling_config".to_owned(), serde_json::json!([{ "desired_size": 1 }]));
    count
}

/// A name in lower case without separators: `DBInstanceClass`, `db-instance-class` and `dbInstanceClass` are
/// equal.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// A value in Terraform's form: the last part of a link, or the `value` or `name` of an object.
fn plain(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) if text.contains('/') => {
            Value::String(text.rsplit('/').next().unwrap_or_default().to_owned())
        }
        Value::Object(object) if object.contains_key("value") => return plain(&object["value"]),
        Value::Object(object) if object.contains_key("name") => return plain(&object["name"]),
        other => other.clone(),
    })
}

fn number(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse::<Decimal>().ok().filter(|number| !number.is_sign_negative())
}
