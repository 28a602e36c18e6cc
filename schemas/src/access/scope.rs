//! Permissions of credentials: scopes, roles (sets of scopes), and the scopes needed to publish each family.

use serde::{Deserialize, Serialize};

use crate::Topic;

/// A permission of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Publish events.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Publish commands of every kind.
    #[serde(rename = "commands:write")]
    CommandsWrite,
    /// Request approval of a change.
    #[serde(rename = "changes:request")]
    ChangesRequest,
    /// Approve and reject changes.
    #[serde(rename = "changes:decide")]
    ChangesDecide,
    /// Set criticalities, change watchlists, triage incidents.
    #[serde(rename = "risk:decide")]
    RiskDecide,
    /// Place and release legal holds.
    #[serde(rename = "holds:decide")]
    HoldsDecide,
    /// Erase people's data.
    #[serde(rename = "subjects:erase")]
    SubjectsErase,
    /// Save and remove searches of the audit log.
    #[serde(rename = "searches:save")]
    SearchesSave,
    /// Evaluate policies.
    #[serde(rename = "policy:evaluate")]
    PolicyEvaluate,
    /// Read the read models.
    #[serde(rename = "read")]
    Read,
    /// Read audit entries.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Read risk of entities, with its reasons, and incidents.
    #[serde(rename = "risk:read")]
    RiskRead,
    /// Read costs and budgets.
    #[serde(rename = "cost:read")]
    CostRead,
    /// Read compliance: posture, verdicts, findings, waivers.
    #[serde(rename = "compliance:read")]
    ComplianceRead,
    /// Request, grant, refuse and revoke waivers.
    #[serde(rename = "compliance:decide")]
    ComplianceDecide,
    /// Read the state of the stages for all tenants: owners, counts and halts.
    #[serde(rename = "stage:admin")]
    StageAdmin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 16] = [
        Self::EventsWrite,
        Self::CommandsWrite,
        Self::ChangesRequest,
        Self::ChangesDecide,
        Self::RiskDecide,
        Self::HoldsDecide,
        Self::SubjectsErase,
        Self::SearchesSave,
        Self::PolicyEvaluate,
        Self::Read,
        Self::AuditRead,
        Self::RiskRead,
        Self::CostRead,
        Self::ComplianceRead,
        Self::ComplianceDecide,
        Self::StageAdmin,
    ];

    /// The scope's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::CommandsWrite => "commands:write",
            Self::ChangesRequest => "changes:request",
            Self::ChangesDecide => "changes:decide",
            Self::RiskDecide => "risk:decide",
            Self::HoldsDecide => "holds:decide",
            Self::SubjectsErase => "subjects:erase",
            Self::SearchesSave => "searches:save",
            Self::PolicyEvaluate => "policy:evaluate",
            Self::Read => "read",
            Self::AuditRead => "audit:read",
            Self::RiskRead => "risk:read",
            Self::CostRead => "cost:read",
            Self::ComplianceRead => "compliance:read",
            Self::ComplianceDecide => "compliance:decide",
            Self::StageAdmin => "stage:admin",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The wider scope that includes this one, if there is one.
    pub const fn within(self) -> Option<Self> {
        match self {
            Self::ChangesRequest
            | Self::ChangesDecide
            | Self::RiskDecide
            | Self::ComplianceDecide
            | Self::HoldsDecide
            | Self::SubjectsErase
            | Self::SearchesSave => Some(Self::CommandsWrite),
            _ => None,
        }
    }

    /// All scopes that a credential needs to publish an event on that topic; `None` for topics that only Weir
    /// writes. Governance events need the scope of commands too, because they are decisions.
    pub const fn to_publish(topic: Topic) -> Option<&'static [Self]> {
        match topic {
            Topic::Activity | Topic::Infrastructure | Topic::Delivery | Topic::Usage | Topic::Monitoring => {
                Some(&[Self::EventsWrite])
            }
            Topic::Governance => Some(&[Self::EventsWrite, Self::CommandsWrite]),
            _ => None,
        }
    }
}

/// Role of an issuer's subject within a tenant: a set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the read models.
    Viewer,
    /// Reads, publishes events and requests approval.
    Developer,
    /// Reads all data of the tenant and changes nothing.
    Auditor,
    /// Reads, and decides on changes and risk.
    Approver,
    /// May do everything within its tenant.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Developer, Self::Auditor, Self::Approver, Self::Admin];

    /// The role's name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Auditor => "auditor",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Scopes of the role.
    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &[Scope::Read, Scope::RiskRead, Scope::CostRead, Scope::ComplianceRead],
            Self::Developer => &[
                Scope::Read,
                Scope::RiskRead,
                Scope::CostRead,
                Scope::ComplianceRead,
                Scope::EventsWrite,
                Scope::ChangesRequest,
                Scope::PolicyEvaluate,
            ],
            Self::Auditor => {
                &[Scope::Read, Scope::RiskRead, Scope::CostRead, Scope::ComplianceRead, Scope::AuditRead]
            }
            Self::Approver => &[
                Scope::Read,
                Scope::RiskRead,
                Scope::CostRead,
                Scope::ComplianceRead,
                Scope::ChangesDecide,
                Scope::RiskDecide,
                Scope::ComplianceDecide,
            ],
            Self::Admin => &[
                Scope::Read,
                Scope::RiskRead,
                Scope::CostRead,
                Scope::ComplianceRead,
                Scope::AuditRead,
                Scope::EventsWrite,
                Scope::CommandsWrite,
                Scope::PolicyEvaluate,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
            assert_eq!(serde_json::to_value(scope).expect("a name"), scope.name());
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).expect("a name"), role.name());
        }
        assert_eq!(Scope::from_name("dead-letter:admin"), None);
    }

    #[test]
    fn a_decision_needs_more_than_the_scope_of_events() {
        for topic in Topic::ALL {
            let needed = Scope::to_publish(topic);
            match topic {
                Topic::Governance => {
                    assert_eq!(needed, Some(&[Scope::EventsWrite, Scope::CommandsWrite][..]));
                }
                _ if Topic::FAMILIES.contains(&topic) => {
                    assert_eq!(needed, Some(&[Scope::EventsWrite][..]), "{topic}");
                }
                _ => assert_eq!(needed, None, "{topic}"),
            }
        }
    }

    #[test]
    fn only_administrators_hold_and_erase() {
        for role in Role::ALL {
            let may =
                |scope: Scope| role.scopes().iter().any(|own| *own == scope || scope.within() == Some(*own));
            for scope in [Scope::HoldsDecide, Scope::SubjectsErase] {
                assert_eq!(may(scope), role == Role::Admin, "{} {}", role.name(), scope.name());
            }
        }
    }

    #[test]
    fn only_approvers_and_administrators_decide() {
        for role in Role::ALL {
            let decides = role.scopes().iter().any(|scope| {
                matches!(
                    scope,
                    Scope::ChangesDecide | Scope::RiskDecide | Scope::ComplianceDecide | Scope::CommandsWrite
                )
            });
            assert_eq!(decides, matches!(role, Role::Approver | Role::Admin), "{}", role.name());
            assert!(
                !role.scopes().contains(&Scope::StageAdmin),
                "operators of all tenants hold a key for it"
            );
        }
    }
}
