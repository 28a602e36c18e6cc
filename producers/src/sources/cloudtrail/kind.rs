//! Kind of activity of an API call.

use schemas::events::{ActivityKind, Outcome, OutcomeStatus};

use crate::sources::fields::Fields;

/// Checks sign-ins first, then denials; permissions, secrets and exports only if the call took effect.
pub(super) fn kind_of(action: &str, service: &str, outcome: &Outcome, record: &Fields<'_>) -> ActivityKind {
    let service = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let failed = outcome.status == OutcomeStatus::Failure;
    if is_sign_in(action, service) || (failed && is_part_of_sign_in(action, service)) {
        return if failed { ActivityKind::SignInFailed } else { ActivityKind::SignedIn };
    }
    if outcome.code.as_deref().is_some_and(is_denial) {
        return ActivityKind::AccessDenied;
    }
    if failed {
        return ActivityKind::ApiCalled;
    }
    if reads_secret(action, service, record) {
        ActivityKind::SecretRead
    } else if exports(action, service) {
        ActivityKind::DataExported
    } else if changes_rights(action, service) {
        ActivityKind::PermissionChanged
    } else {
        ActivityKind::ApiCalled
    }
}

fn is_sign_in(action: &str, service: &str) -> bool {
    match service {
        "signin" => {
            matches!(action, "ConsoleLogin" | "SwitchRole" | "UserAuthentication" | "CredentialVerification")
        }
        "sso" => matches!(action, "Authenticate" | "Federate"),
        "sts" => matches!(action, "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity"),
        _ => action == "ConsoleLogin",
    }
}

/// A step of a sign-in, after which nobody is signed in yet.
fn is_part_of_sign_in(action: &str, service: &str) -> bool {
    service == "signin" && action == "CheckMfa"
}

/// `AccessDenied`, `AccessDeniedException`, `Client.UnauthorizedOperation` and similar codes.
fn is_denial(code: &str) -> bool {
    ["AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden"].iter().any(|word| code.contains(word))
}

fn reads_secret(action: &str, service: &str, record: &Fields<'_>) -> bool {
    match service {
        "secretsmanager" => matches!(action, "GetSecretValue" | "BatchGetSecretValue"),
        "ssm" => {
            let decrypted = || {
                let parameters = record.object("requestParameters");
                parameters.and_then(|parameters| parameters.flag("withDecryption")) == Some(true)
            };
            matches!(action, "GetParameter" | "GetParameters" | "GetParametersByPath" | "GetParameterHistory")
                && decrypted()
        }
        "ec2" => action == "GetPasswordData",
        _ => false,
    }
}

fn exports(action: &str, service: &str) -> bool {
    match service {
        "ec2" => matches!(
            action,
            "ModifySnapshotAttribute"
                | "ModifyImageAttribute"
                | "CreateInstanceExportTask"
                | "ExportImage"
                | "CreateStoreImageTask"
        ),
        "rds" => matches!(
            action,
            "ModifyDBSnapshotAttribute" | "ModifyDBClusterSnapshotAttribute" | "StartExportTask"
        ),
        "dynamodb" => action.starts_with("ExportTable"),
        "logs" => action == "CreateExportTask",
        "s3" => action == "PutBucketReplication",
        _ => false,
    }
}

/// Calls that change permissions, by service and beginning of the name (some end in an API version, as in
/// `AddPermission20150331v2`).
const RIGHTS: &[(&str, &[&str])] = &[
    (
        "iam",
        &[
            "AddClientIDToOpenIDConnectProvider",
            "AddRoleToInstanceProfile",
            "AddUserToGroup",
            "AttachGroupPolicy",
            "AttachRolePolicy",
            "AttachUserPolicy",
            "CreateAccessKey",
            "CreateLoginProfile",
            "CreateOpenIDConnectProvider",
            "CreatePolicy",
            "CreateRole",
            "CreateSAMLProvider",
            "CreateServiceSpecificCredential",
            "DeactivateMFADevice",
            "DeleteAccessKey",
            "DeleteGroupPolicy",
            "DeleteLoginProfile",
            "DeletePolicy",
            "DeleteRole",
            "DeleteUserPermissionsBoundary",
            "DeleteUserPolicy",
            "DetachGroupPolicy",
            "DetachRolePolicy",
            "DetachUserPolicy",
            "EnableMFADevice",
            "PutGroupPolicy",
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "PutUserPermissionsBoundary",
            "PutUserPolicy",
            "RemoveRoleFromInstanceProfile",
            "RemoveUserFromGroup",
            "SetDefaultPolicyVersion",
            "UpdateAccessKey",
            "UpdateAssumeRolePolicy",
            "UpdateLoginProfile",
            "UpdateSAMLProvider",
            "UploadSSHPublicKey",
        ],
    ),
    (
        "s3",
        &[
            "DeleteAccountPublicAccessBlock",
            "DeleteBucketPolicy",
            "DeleteBucketPublicAccessBlock",
            "PutAccountPublicAccessBlock",
            "PutBucketAcl",
            "PutBucketPolicy",
            "PutBucketPublicAccessBlock",
            "PutObjectAcl",
        ],
    ),
    ("kms", &["CreateGrant", "PutKeyPolicy", "RetireGrant", "RevokeGrant"]),
    (
        "sso",
        &[
            "AttachCustomerManagedPolicy",
            "AttachManagedPolicy",
            "CreateAccountAssignment",
            "DeleteAccountAssignment",
            "DeleteInlinePolicy",
            "DetachManagedPolicy",
            "PutInlinePolicy",
        ],
    ),
    ("sso-directory", &["AddMemberToGroup", "RemoveMemberFromGroup"]),
    ("organizations", &["AttachPolicy", "CreatePolicy", "DeletePolicy", "DetachPolicy", "UpdatePolicy"]),
    ("rolesanywhere", &["CreateProfile", "CreateTrustAnchor", "UpdateProfile", "UpdateTrustAnchor"]),
    ("ecr", &["DeleteRepositoryPolicy", "SetRepositoryPolicy"]),
];

/// The same in any service: calls that grant others access to a resource.
const RIGHTS_ANYWHERE: &[&str] =
    &["AddPermission", "DeleteResourcePolicy", "PutResourcePolicy", "RemovePermission"];

fn changes_rights(action: &str, service: &str) -> bool {
    let of_service =
        RIGHTS.iter().find(|(name, _)| *name == service).map_or(&[][..], |(_, actions)| *actions);
    of_service.iter().chain(RIGHTS_ANYWHERE).any(|begin| action.starts_with(begin))
}
