//! `weir topology`: the pipeline as declared, and the cluster as it is.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{
    Outcome,
    logins::Logins,
    output::{self, note},
    place::Place,
    settings::kafka_security,
    up,
};
use topology::{
    pipeline,
    runtime::offline::admin::{self, TopicChange},
    topology::{
        Topology,
        access::{Grant, Role},
    },
};

/// Arguments of `weir topology`.
#[derive(Debug, Args)]
pub(super) struct TopologyArgs {
    #[command(subcommand)]
    command: TopologyCommand,
}

#[derive(Debug, Subcommand)]
enum TopologyCommand {
    /// Print the pipeline.
    Show {
        #[arg(long, value_enum, default_value_t = Picture::Text)]
        output: Picture,
    },
    /// Print what `apply` would change; exits 1 if anything.
    Plan,
    /// Create missing topics and mend their settings; create the database, its tables, and the services' logins whose
    /// passwords are set. A topic with another number of partitions is told and kept as it is; `plan` exits 1 on it.
    Apply,
    /// Print the rights that each process needs on a Kafka cluster with an authorizer: lines of arguments for
    /// `kafka-acls.sh`, or JSON.
    Acls {
        /// Roles to print; all of them if none is named.
        #[arg(long, value_enum)]
        role: Vec<RoleName>,
        /// A role's principal on the cluster, where it is not `User:weir_…`: `gateway=User:CN=weir-gateway`.
        #[arg(long = "principal", value_name = "ROLE=PRINCIPAL", value_parser = principal)]
        principals: Vec<(Role, String)>,
        #[arg(long, value_enum, default_value_t = Lines::Arguments)]
        output: Lines,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Gateway,
    QueryApi,
    Stages,
    Sinks,
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lines {
    Arguments,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Picture {
    Text,
    Mermaid,
    Json,
}

/// Shows, compares, applies.
pub(super) async fn topology(args: TopologyArgs) -> anyhow::Result<Outcome> {
    let declared = pipeline::declaration();
    match args.command {
        TopologyCommand::Acls { role, principals, output } => acls(&declared, &role, &principals, output)?,
        TopologyCommand::Show { output: Picture::Text } => output::line(declared.show_text().trim_end()),
        TopologyCommand::Show { output: Picture::Mermaid } => {
            output::line(declared.show_mermaid().trim_end());
        }
        TopologyCommand::Show { output: Picture::Json } => output::json(&declared.shape())?,
        TopologyCommand::Plan => {
            let place = Place::find().await?;
            let changes = admin::plan(&declared, &place.endpoints.kafka, &kafka_security()).await?;
            if changes.is_empty() {
                note("the cluster is as declared");
                return Ok(Outcome::Done);
            }
            print(&changes);
            return Ok(Outcome::No);
        }
        TopologyCommand::Apply => {
            let place = Place::find().await?;
            let logins = Logins::given(&place.settings.database)?;
            let changes = up::prepare(&place.endpoints).await?;
            logins.make(&place.endpoints.database_url).await?;
            print(&changes);
            note(&format!("the database is migrated; {}", applied(&changes)));
        }
    }
    Ok(Outcome::Done)
}

/// A grant, and who gets it on the cluster.
#[derive(Serialize)]
struct Acl<'a> {
    principal: String,
    #[serde(flatten)]
    grant: &'a Grant,
}

fn acls(
    declared: &Topology,
    roles: &[RoleName],
    principals: &[(Role, String)],
    output: Lines,
) -> anyhow::Result<()> {
    let roles: Vec<Role> = roles.iter().map(|name| name.role()).collect();
    let grants = declared.grants();
    let wanted = grants.iter().filter(|grant| roles.is_empty() || roles.contains(&grant.role));
    let acls: Vec<Acl<'_>> =
        wanted.map(|grant| Acl { principal: principal_of(grant.role, principals), grant }).collect();
    match output {
        Lines::Json => output::json(&acls)?,
        Lines::Arguments => acls.iter().for_each(|acl| output::line(&acl.grant.arguments(&acl.principal))),
    }
    Ok(())
}

fn principal_of(role: Role, principals: &[(Role, String)]) -> String {
    let own = principals.iter().rev().find(|(of, _)| *of == role);
    own.map_or_else(|| format!("User:{}", role.user()), |(_, principal)| principal.clone())
}

/// `gateway=User:CN=weir-gateway`.
fn principal(text: &str) -> Result<(Role, String), String> {
    let (name, principal) = text.split_once('=').ok_or("it is written as ROLE=PRINCIPAL")?;
    let role = RoleName::from_str(name, true)?.role();
    let well_formed =
        principal.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if !well_formed || principal.contains(|c: char| c.is_whitespace() || "\"'\\*".contains(c)) {
        return Err(format!(
            "{principal:?} is no principal: write TYPE:NAME without spaces, as User:weir_gateway"
        ));
    }
    Ok((role, principal.to_owned()))
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::Gateway => Role::Gateway,
            Self::QueryApi => Role::QueryApi,
            Self::Stages => Role::Stages,
            Self::Sinks => Role::Sinks,
            Self::Operator => Role::Operator,
        }
    }
}

/// The topics that stay as they are although they differ from the declaration.
pub(super) fn refused(changes: &[TopicChange]) -> Vec<&TopicChange> {
    changes.iter().filter(|change| matches!(change, TopicChange::Refused { .. })).collect()
}

/// Numbers of topics' changes that were made, and that were refused.
fn applied(changes: &[TopicChange]) -> String {
    let refused = refused(changes).len();
    let made = format!("{} changes of topics", changes.len() - refused);
    if refused == 0 { made } else { format!("{made}, {refused} refused") }
}

fn print(changes: &[TopicChange]) {
    for change in changes {
        output::line(&change.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_topic_is_no_change() {
        let alter = TopicChange::Alter {
            topic: "t".into(),
            setting: "retention.ms".into(),
            from: None,
            to: "1".into(),
        };
        let other = TopicChange::Refused { topic: "t".into(), partitions: 3, declared: 6 };
        assert_eq!(applied(&[]), "0 changes of topics");
        assert_eq!(applied(std::slice::from_ref(&alter)), "1 changes of topics");
        let both = [alter, other.clone()];
        assert_eq!(applied(&both), "1 changes of topics, 1 refused");
        assert_eq!(refused(&both), [&other]);
    }

    #[test]
    fn principals_are_those_of_the_cluster_where_they_are_named() {
        let named = [principal("gateway=User:CN=weir-gateway,O=acme").expect("a principal")];
        assert_eq!(principal_of(Role::Gateway, &named), "User:CN=weir-gateway,O=acme");
        assert_eq!(principal_of(Role::Stages, &named), "User:weir_stages");
        for wrong in
            ["gateway", "gateways=User:a", "gateway=a", "gateway=User:", "gateway=User:a b", "sinks=User:*"]
        {
            principal(wrong).expect_err(wrong);
        }
    }
}
