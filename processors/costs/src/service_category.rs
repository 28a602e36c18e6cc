//! FOCUS `ServiceCategory` of services whose bills have none: AWS' Cost and Usage Report and Google Cloud's export.
//!
//! Names of categories: FOCUS 1.2, "Service Category". Names of services: the product names and codes of AWS' price list
//! and the service descriptions of Google Cloud's Catalog API.

use crate::utilisation::squeezed;

/// Names of services in lower case without separators, by category.
const SERVICES: [(&str, &[&str]); 9] = [
    (
        "Compute",
        &[
            "amazonec2",
            "amazonelasticcomputecloud",
            "awslambda",
            "amazonecs",
            "amazonelasticcontainerservice",
            "amazoneks",
            "amazonelasticcontainerserviceforkubernetes",
            "amazonelastickubernetesservice",
            "amazonlightsail",
            "computeengine",
            "kubernetesengine",
            "cloudrun",
            "cloudrunfunctions",
            "cloudfunctions",
            "appengine",
        ],
    ),
    (
        "Databases",
        &[
            "amazonrds",
            "amazonrelationaldatabaseservice",
            "amazondynamodb",
            "amazonelasticache",
            "amazondocdb",
            "amazondocumentdbwithmongodbcompatibility",
            "amazonneptune",
            "amazonmemorydb",
            "cloudsql",
            "cloudspanner",
            "cloudbigtable",
            "cloudmemorystoreforredis",
            "cloudfirestore",
            "alloydb",
        ],
    ),
    (
        "Storage",
        &[
            "amazons3",
            "amazonsimplestorageservice",
            "amazons3glacierdeeparchive",
            "amazonglacier",
            "amazonefs",
            "amazonelasticfilesystem",
            "amazonfsx",
            "awsbackup",
            "cloudstorage",
            "cloudfilestore",
        ],
    ),
    (
        "Networking",
        &[
            "amazonvpc",
            "amazonvirtualprivatecloud",
            "awselb",
            "elasticloadbalancing",
            "amazonroute53",
            "amazoncloudfront",
            "awsdirectconnect",
            "awsdatatransfer",
            "networking",
            "clouddns",
            "cloudcdn",
        ],
    ),
    (
        "Analytics",
        &[
            "amazonredshift",
            "amazonathena",
            "awsglue",
            "amazonkinesis",
            "elasticmapreduce",
            "amazonelasticmapreduce",
            "amazones",
            "amazonopensearchservice",
            "bigquery",
            "clouddataflow",
            "clouddataproc",
        ],
    ),
    (
        "Security",
        &[
            "awskms",
            "awskeymanagementservice",
            "awssecretsmanager",
            "awswaf",
            "amazonguardduty",
            "cloudkeymanagementservicekms",
            "secretmanager",
        ],
    ),
    (
        "Management and Governance",
        &["amazoncloudwatch", "awscloudtrail", "awsconfig", "cloudlogging", "cloudmonitoring", "stackdriver"],
    ),
    (
        "Integration",
        &[
            "awsqueueservice",
            "amazonsimplequeueservice",
            "amazonsns",
            "amazonsimplenotificationservice",
            "awsevents",
            "cloudpubsub",
        ],
    ),
    ("AI and Machine Learning", &["amazonsagemaker", "amazonbedrock", "vertexai"]),
];

/// Words of AWS' product families and of Google's SKUs by which a part of a compute service is another category: disks,
/// addresses and traffic are billed with machines.
const PARTS: [(&str, &[&str]); 2] = [
    ("Storage", &["storage", "snapshot", "pdcapacity", "backedpd", "hyperdisk"]),
    ("Networking", &["datatransfer", "natgateway", "loadbalancer", "ipaddress", "ipcharge", "egress"]),
];

/// Category of a service by its name or code; `part` is AWS' product family or Google's description of the SKU. `None`: the
/// service is not known.
pub fn service_category(service: &str, part: &str) -> Option<&'static str> {
    let service = squeezed(service);
    let &(category, _) = SERVICES.iter().find(|(_, names)| names.contains(&service.as_str()))?;
    if category != "Compute" {
        return Some(category);
    }
    let part = squeezed(part);
    let other = PARTS.iter().find(|(_, words)| words.iter().any(|word| part.contains(word)));
    Some(other.map_or(category, |&(other, _)| other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_a_category_by_name_code_and_part() {
        for (service, part, expected) in [
            ("Amazon Elastic Compute Cloud", "Compute Instance", Some("Compute")),
            ("AmazonEC2", "", Some("Compute")),
            ("AmazonEC2", "Storage", Some("Storage")),
            ("AmazonEC2", "NAT Gateway", Some("Networking")),
            ("Amazon Simple Storage Service", "Data Transfer", Some("Storage")),
            ("AmazonS3", "API Request", Some("Storage")),
            ("AmazonRDS", "Database Storage", Some("Databases")),
            ("AWSQueueService", "", Some("Integration")),
            ("Compute Engine", "N1 Predefined Instance Core running in Americas", Some("Compute")),
            ("Compute Engine", "SSD backed PD Capacity", Some("Storage")),
            ("Compute Engine", "Network Internet Egress from Americas", Some("Networking")),
            ("Cloud Storage", "Standard Storage Belgium", Some("Storage")),
            ("Cloud SQL", "", Some("Databases")),
            ("Nimbus Widgets", "Storage", None),
            ("", "", None),
        ] {
            assert_eq!(service_category(service, part), expected, "{service}, {part}");
        }
    }

    #[test]
    fn a_name_is_of_one_category() {
        let names: Vec<&str> = SERVICES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &names {
            assert_eq!(squeezed(name), *name);
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }
}
