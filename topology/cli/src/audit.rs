//! `weir audit`: proofs of entries, exports, tiles for others to keep, keys.

mod export;
mod tiles;

use std::path::PathBuf;

use anyhow::{Context, bail};
use audit_log::keys::{PrivateKey, Purpose};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{
    Outcome,
    output::{self, note},
    place::{self, Place},
    settings::Trust,
    status::client,
};

/// Arguments of `weir audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print an entry with the proof that it is part of its log; `weir verify --proof` checks it on any machine.
    Proof {
        /// The event's id.
        event: Uuid,
        #[command(flatten)]
        trust: Trust,
    },
    /// Write all entries that match to a file, one a line, however many there are.
    Export(Box<export::ExportArgs>),
    /// Write checkpoints and tiles of all logs to a folder, for others to keep. Exits with 1 if a log is not the continuation
    /// of what the folder holds, and leaves what it holds of that log.
    Tiles {
        /// Where; what it holds already is left as it is, but for checkpoints, which newer ones replace.
        dir: PathBuf,
    },
    /// Print the public keys of the log; with --new, make a signing key and print it.
    Key {
        /// The name of the deployment, for example audit.example.com: makes a key of that name.
        #[arg(long, value_name = "NAME")]
        new: Option<String>,
        /// Print the public key as a witness's.
        #[arg(long)]
        witness: bool,
        /// The signing key to print the public key of; by default the one that is set here.
        #[arg(long, value_name = "FILE")]
        of: Option<PathBuf>,
    },
}

/// Does what is asked.
pub(super) async fn audit(args: AuditArgs) -> anyhow::Result<Outcome> {
    match args.what {
        What::Proof { event, trust } => proof(event, &trust).await,
        What::Export(args) => export::export(*args).await,
        What::Tiles { dir } => tiles::tiles(&dir).await,
        What::Key { new: Some(name), .. } => new_key(&name),
        What::Key { new: None, witness, of } => public_key(witness, of),
    }
}

async fn proof(event: Uuid, trust: &Trust) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let (url, token) = place.query_api()?;
    let answer = client(&trust.over(place.settings.client.clone()))?
        .get(format!("{url}/api/v1/audit/{event}/proof"))
        .bearer_auth(token)
        .send()
        .await
        .with_context(|| format!("the query API at {url} does not answer"))?;
    let status = answer.status();
    let body = answer.text().await.context("the query API's answer was cut off")?;
    match status.as_u16() {
        200 => {}
        404 => {
            note("no entry of that id has a place in a log");
            return Ok(Outcome::No);
        }
        _ => bail!("the query API answers {status}: {body:.300}"),
    }
    if serde_json::from_str::<serde_json::Value>(&body)?
        .get("checkpoint")
        .is_none_or(serde_json::Value::is_null)
    {
        note(
            "no checkpoint covers the entry yet: ask again in a second (or nothing signs; see `weir status`)",
        );
    }
    output::line(&body);
    Ok(Outcome::Done)
}

fn new_key(name: &str) -> anyhow::Result<Outcome> {
    let key = PrivateKey::new(name, &rand::random()).context("a name has neither spaces nor a plus sign")?;
    output::line(&key.text());
    note(&format!("public key: {}", key.public(Purpose::Log)));
    note(
        "keep the line above in a file that only the signer reads, and name it with WEIR_AUDIT__SIGNING_KEY_FILE",
    );
    Ok(Outcome::Done)
}

fn public_key(witness: bool, of: Option<PathBuf>) -> anyhow::Result<Outcome> {
    let purpose = if witness { Purpose::Witness } else { Purpose::Log };
    let keys = match of {
        Some(file) => {
            let keys = audit_log::keys::parse_all(&place::read(&file)?);
            keys.with_context(|| format!("the key in {}", file.display()))?
        }
        None if witness => bail!("say whose key with --of FILE"),
        None => {
            Place::here()?.log_keys()?.iter().for_each(|key| output::line(&key.to_string()));
            return Ok(Outcome::Done);
        }
    };
    for key in keys {
        output::line(&key.public(purpose).to_string());
    }
    Ok(Outcome::Done)
}
