//! The AWS partition of a call: ARNs of one partition never refer to resources of another.

use crate::sources::fields::Fields;

/// Region prefixes, with their partition.
const REGIONS: &[(&str, &str)] = &[
    ("us-gov-", "aws-us-gov"),
    ("cn-", "aws-cn"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
];

/// The partition of the caller's ARN, of a resource's, or of the region; `aws` if the record has none.
pub(super) fn partition_of(record: &Fields<'_>) -> &'static str {
    let of_caller = || known(&record.inner("userIdentity")?.plain_text("arn")?);
    let of_resource =
        || record.quiet_objects("resources", 4).iter().find_map(|one| known(&one.plain_text("ARN")?));
    let of_region = || {
        let region = record.plain_text("awsRegion")?;
        REGIONS.iter().find(|(begin, _)| region.starts_with(begin)).map(|(_, partition)| *partition)
    };
    of_caller().or_else(of_resource).or_else(of_region).unwrap_or("aws")
}

fn known(arn: &str) -> Option<&'static str> {
    let told = arn.strip_prefix("arn:")?.split(':').next()?;
    ["aws"].into_iter().chain(REGIONS.iter().map(|(_, partition)| *partition)).find(|known| *known == told)
}
