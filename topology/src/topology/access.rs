//! The rights of each process on Kafka: the access control list that a cluster with an authorizer needs.
//!
//! Operations, resource types and pattern types are Kafka's own (its security documentation, "Operations in
//! Kafka"). `Read`, `Write` and the like imply `Describe` there, so that it stands alone only where nothing
//! else is needed.

use std::fmt::Write as _;

use schemas::Topic;
use serde::Serialize;
use sinks::outbox;

use super::Topology;
use crate::siem::STAGE_PREFIX;

/// Prefix of all topics' names.
const TOPICS: &str = "weir.";
/// Prefix of the transactional ids under which the audit log's relay writes.
const AUDIT_TOPIC_WRITERS: &str = "weir-audit-topic";
/// Group in whose name the relay looks how far it was written. It joins none, but the client library asks for
/// its coordinator.
const AUDIT_TOPIC_TAIL: &str = "weir-audit-topic-tail";
/// The same of commands that read topics by themselves.
const COMMANDS: [&str; 2] = ["weir-history", "weir-instants"];

/// A kind of process with rights of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `weir run gateway`: publishes events.
    Gateway,
    /// `weir run query-api`: measures lag.
    QueryApi,
    /// `weir run STAGE`: reads events; publishes findings, dead letters and the audit topic.
    Stages,
    /// `weir run sinks`: reads what is forwarded; publishes dead letters.
    Sinks,
    /// People and jobs that run commands: `weir topology apply`, `weir import`, `weir dead-letter replay`.
    Operator,
}

/// Type of a resource, as Kafka names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Topics.
    Topic,
    /// Consumer groups.
    Group,
    /// Transactional ids of producers.
    TransactionalId,
}

/// Comparison of a resource's name with the one of a grant, as Kafka names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The name itself.
    Literal,
    /// Every name that begins so.
    Prefixed,
}

/// An operation, as Kafka names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "Kafka's documentation has them")]
pub enum Operation {
    Read,
    Write,
    Create,
    Alter,
    Describe,
    DescribeConfigs,
    AlterConfigs,
}

/// Operations on resources that one role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// Type of the resources.
    pub resource: Resource,
    /// Comparison of their names.
    pub pattern: Pattern,
    /// Their names, or the beginnings of them.
    pub names: Vec<String>,
    /// The operations.
    pub operations: Vec<Operation>,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::QueryApi, Self::Stages, Self::Sinks, Self::Operator];

    /// Name of the role's user, unless a cluster has another: the name of its login on PostgreSQL where it
    /// has one.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Gateway => "weir_gateway",
            Self::QueryApi => "weir_query_api",
            Self::Stages => "weir_stages",
            Self::Sinks => "weir_sinks",
            Self::Operator => "weir_operator",
        }
    }
}

impl Resource {
    /// Option of `kafka-acls.sh` that names a resource of this type.
    const fn option(self) -> &'static str {
        match self {
            Self::Topic => "--topic",
            Self::Group => "--group",
            Self::TransactionalId => "--transactional-id",
        }
    }
}

impl Grant {
    fn topics(role: Role, operation: Operation, topics: impl IntoIterator<Item = Topic>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for topic in topics {
            if !names.iter().any(|name| name == topic.name()) {
                names.push(topic.name().to_owned());
            }
        }
        Self {
            role,
            resource: Resource::Topic,
            pattern: Pattern::Literal,
            names,
            operations: vec![operation],
        }
    }

    fn groups(role: Role, names: Vec<String>) -> Self {
        let (pattern, operations) = (Pattern::Literal, vec![Operation::Read]);
        Self { role, resource: Resource::Group, pattern, names, operations }
    }

    fn prefixed(role: Role, resource: Resource, prefix: &str, operations: &[Operation]) -> Self {
        let names = vec![prefix.to_owned()];
        Self { role, resource, pattern: Pattern::Prefixed, names, operations: operations.to_vec() }
    }

    /// Arguments of `kafka-acls.sh` that make the grant for this principal. No argument has a space in it.
    pub fn arguments(&self, principal: &str) -> String {
        let mut line = format!("--add --allow-principal {principal}");
        for operation in &self.operations {
            write!(line, " --operation {operation:?}").expect("a String takes everything");
        }
        for name in &self.names {
            write!(line, " {} {name}", self.resource.option()).expect("a String takes everything");
        }
        if self.pattern == Pattern::Prefixed {
            line.push_str(" --resource-pattern-type prefixed");
        }
        line
    }
}

impl Topology {
    /// Everything that the processes of this topology need to be allowed on Kafka; they do nothing else
    /// there.
    pub fn grants(&self) -> Vec<Grant> {
        use Operation::{AlterConfigs, Create, Describe, DescribeConfigs, Read, Write};
        let read = self.stages().iter().flat_map(|stage| stage.topics().iter().copied());
        let groups = self.stages().iter().map(super::Stage::group).chain([AUDIT_TOPIC_TAIL.to_owned()]);
        let stages = Role::Stages;
        vec![
            Grant::topics(Role::Gateway, Write, Topic::FAMILIES),
            Grant::topics(Role::QueryApi, Describe, Topic::ALL),
            // The relay reads how far the audit topic and the backfills were written.
            Grant::topics(stages, Read, read.chain([Topic::Audit, Topic::AuditBackfill])),
            Grant::topics(
                stages,
                Write,
                [Topic::Audit, Topic::AuditBackfill].into_iter().chain(outbox::DESTINATIONS),
            ),
            Grant::groups(stages, groups.collect()),
            Grant::prefixed(stages, Resource::TransactionalId, AUDIT_TOPIC_WRITERS, &[Write]),
            Grant::topics(Role::Sinks, Read, [Topic::Audit, Topic::AuditBackfill, Topic::Findings]),
            Grant::topics(Role::Sinks, Write, [Topic::DeadLetter]),
            Grant::prefixed(Role::Sinks, Resource::Group, &format!("weir-{STAGE_PREFIX}"), &[Read]),
            Grant::prefixed(
                Role::Operator,
                Resource::Topic,
                TOPICS,
                &[Create, Read, Write, DescribeConfigs, AlterConfigs],
            ),
            Grant::groups(Role::Operator, COMMANDS.map(str::to_owned).to_vec()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline;

    #[test]
    fn every_role_has_grants_and_none_beyond_the_pipelines_own_names() {
        let grants = pipeline::declaration().grants();
        for role in Role::ALL {
            assert!(grants.iter().any(|grant| grant.role == role), "{role:?}");
        }
        for grant in &grants {
            assert!(!grant.names.is_empty() && !grant.operations.is_empty(), "{grant:?}");
            assert!(grant.names.iter().all(|name| name.starts_with("weir")), "{grant:?}");
            assert!(!grant.operations.contains(&Operation::Alter), "nobody grants rights: {grant:?}");
        }
    }

    fn writes(role: Role, topic: &str) -> bool {
        pipeline::declaration().grants().iter().any(|grant| {
            grant.role == role
                && grant.pattern == Pattern::Literal
                && grant.operations.contains(&Operation::Write)
                && grant.names.iter().any(|name| name == topic)
        })
    }

    #[test]
    fn stages_may_write_where_their_records_leave_for() {
        for topic in outbox::DESTINATIONS {
            assert!(writes(Role::Stages, topic.name()), "{topic}");
            assert!(!Topic::FAMILIES.contains(&topic), "{topic} takes events of the gateway alone");
        }
    }

    #[test]
    fn only_the_gateway_and_operators_write_events() {
        for topic in Topic::FAMILIES.map(Topic::name) {
            assert!(writes(Role::Gateway, topic), "{topic}");
            for role in [Role::QueryApi, Role::Stages, Role::Sinks] {
                assert!(!writes(role, topic), "{role:?} {topic}");
            }
        }
    }

    #[test]
    fn a_grant_is_one_line_of_arguments() {
        let grant = Grant::prefixed(Role::Sinks, Resource::Group, "weir-sink.", &[Operation::Read]);
        assert_eq!(
            grant.arguments("User:CN=sinks"),
            "--add --allow-principal User:CN=sinks --operation Read --group weir-sink. \
             --resource-pattern-type prefixed"
        );
    }
}
