//! AWS partition of a record: rules write ARNs of `aws`, while those of GovCloud and China differ.

use super::json::Json;

/// Beginning of ARNs in rules.
const WRITTEN: &str = "arn:aws:";

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

/// The id with the ARN partition of the record; an id that is not an ARN is unchanged.
pub(super) fn own(id: String, record: &Json<'_>) -> String {
    match (id.strip_prefix(WRITTEN), of(record)) {
        (Some(rest), Some(partition)) => format!("arn:{partition}:{rest}"),
        _ => id,
    }
}

/// The partition of the caller's ARN, or else of the region; `None` for `aws`.
fn of(record: &Json<'_>) -> Option<&'static str> {
    let known = |told: &str| REGIONS.iter().map(|(_, partition)| *partition).find(|known| *known == told);
    let of_caller =
        || known(record.get("userIdentity")?.get("arn")?.as_str()?.strip_prefix("arn:")?.split(':').next()?);
    let of_region = || {
        let region = record.get("awsRegion")?.as_str()?;
        REGIONS.iter().find(|(begin, _)| region.starts_with(begin)).map(|(_, partition)| *partition)
    };
    of_caller().or_else(of_region)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(id: &str, record: &Value, expected: &str) {
        assert_eq!(own(id.to_owned(), &record.into()), expected);
    }

    #[test]
    fn an_arn_is_one_of_the_records_partition() {
        let user = "arn:aws:iam::333344445555:user/noor";
        let by_caller = json!({"userIdentity": {"arn": "arn:aws-us-gov:iam::333344445555:user/ada"}});
        check(user, &by_caller, "arn:aws-us-gov:iam::333344445555:user/noor");
        let by_region = json!({"userIdentity": {"type": "AWSService"}, "awsRegion": "cn-north-1"});
        check(user, &by_region, "arn:aws-cn:iam::333344445555:user/noor");
        check(user, &json!({"awsRegion": "eu-central-1"}), user);
        check(user, &json!({"verb": "get"}), user);
        check("pods/shop/api", &by_caller, "pods/shop/api");
        let told = "arn:aws-us-gov:s3:::bucket";
        check(told, &by_caller, told);
    }
}
