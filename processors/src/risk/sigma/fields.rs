//! The fields that the rules of one format read, each once, and the aliases under which rules refer to
//! them.

use std::collections::HashMap;

use super::{json::Json, path::Path};
use schemas::envelope::native_format::{AZURE_ACTIVITY, AZURE_AUDIT, AZURE_SIGNIN, GCP_AUDIT};

/// A field of [`Fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FieldId(pub(super) usize);

/// Fields that rules of one format name.
#[derive(Debug, Default)]
pub(super) struct Fields {
    format: &'static str,
    by_name: HashMap<String, FieldId>,
    all: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    /// Possible paths of the field: its own name, then its aliases; the first that exists
    /// counts.
    paths: Vec<Path>,
}

impl Fields {
    pub(super) fn of(format: &'static str) -> Self {
        Self { format, ..Self::default() }
    }

    /// The field with that name. Fails if the name cannot be parsed.
    pub(super) fn id(&mut self, name: &str) -> Result<FieldId, String> {
        if let Some(known) = self.by_name.get(name) {
            return Ok(*known);
        }
        let id = FieldId(self.all.len());
        self.all.push(Field { name: name.to_owned(), paths: paths(Some(self.format), name)? });
        self.by_name.insert(name.to_owned(), id);
        Ok(id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Name of the field, as rules write it.
    pub(super) fn name(&self, field: FieldId) -> &str {
        &self.all[field.0].name
    }

    /// Top-level keys of a record that may contain the field.
    pub(super) fn first_keys(&self, field: FieldId) -> impl Iterator<Item = &str> + Clone {
        self.all[field.0].paths.iter().map(Path::first_key)
    }

    /// The record's values at the field's own name, or at its first alias that exists.
    pub(super) fn find<'v>(&self, field: FieldId, record: &'v Json<'v>) -> Vec<&'v Json<'v>> {
        let found = self.all[field.0].paths.iter().map(|path| path.find(record));
        found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// Possible paths of a field with that name in a record of the format, or of any format: its own name, then
/// its aliases.
pub(super) fn paths(format: Option<&str>, name: &str) -> Result<Vec<Path>, String> {
    let mut paths = vec![Path::parse(name)?];
    for (of, alias, natives) in ALIASES {
        let rest = name.strip_prefix(alias).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        if let Some(rest) = rest.filter(|_| format.is_none_or(|format| *of == format)) {
            for native in *natives {
                let path = Path::parse(&format!("{native}{rest}"))?;
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
    }
    Ok(paths)
}

/// Field names that public rules use besides those of the source: of the Elastic Common Schema, of an
/// export's envelope, and of the columns of Log Analytics. By format: a name or prefix, and the names
/// that it stands for, of which the first that exists counts.
const ALIASES: &[(&str, &str, &[&str])] = &[
    (GCP_AUDIT, "gcp.audit.method_name", &["protoPayload.methodName"]),
    (GCP_AUDIT, "data.protoPayload", &["protoPayload"]),
    (AZURE_ACTIVITY, "OperationName", &["operationName"]),
    (AZURE_ACTIVITY, "OperationNameValue", &["operationName"]),
    (AZURE_ACTIVITY, "ResourceId", &["resourceId"]),
    (AZURE_ACTIVITY, "properties.message", &["properties.activityDisplayName", "operationName"]),
    (AZURE_AUDIT, "OperationName", &["operationName"]),
    (AZURE_AUDIT, "ActivityDisplayName", &["properties.activityDisplayName", "operationName"]),
    (AZURE_AUDIT, "properties.message", &["properties.activityDisplayName", "operationName"]),
    (AZURE_AUDIT, "Category", &["properties.category"]),
    (AZURE_AUDIT, "LoggedByService", &["properties.loggedByService"]),
    (AZURE_AUDIT, "TargetResources", &["properties.targetResources"]),
    (AZURE_AUDIT, "InitiatedBy", &["properties.initiatedBy"]),
    (AZURE_AUDIT, "Initiatedby", &["properties.initiatedBy"]),
    (AZURE_AUDIT, "ResultDescription", &["resultDescription", "properties.resultReason"]),
    (AZURE_SIGNIN, "ResultType", &["resultType", "properties.status.errorCode"]),
    (AZURE_SIGNIN, "ResultDescription", &["resultDescription", "properties.status.failureReason"]),
    (AZURE_SIGNIN, "AuthenticationRequirement", &["properties.authenticationRequirement"]),
    (AZURE_SIGNIN, "conditionalAccessStatus", &["properties.conditionalAccessStatus"]),
    (AZURE_SIGNIN, "ConditionalAccessStatus", &["properties.conditionalAccessStatus"]),
    (AZURE_SIGNIN, "ClientApp", &["properties.clientAppUsed"]),
    (AZURE_SIGNIN, "DeviceDetail.trusttype", &["properties.deviceDetail.trustType"]),
    (AZURE_SIGNIN, "DeviceDetail", &["properties.deviceDetail"]),
    (AZURE_SIGNIN, "NetworkLocationDetails", &["properties.networkLocationDetails"]),
    (AZURE_SIGNIN, "ResourceDisplayName", &["properties.resourceDisplayName"]),
    (AZURE_SIGNIN, "RiskState", &["properties.riskState"]),
    (
        AZURE_SIGNIN,
        "riskEventType",
        &["properties.riskEventType", "properties.riskEventTypes_v2", "properties.riskEventTypes"],
    ),
    (AZURE_SIGNIN, "Username", &["properties.userPrincipalName"]),
    (AZURE_SIGNIN, "userAgent", &["properties.userAgent"]),
];
