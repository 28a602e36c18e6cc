//! `weir erase`: a person's data goes.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::{
    Outcome,
    command::{Command, Said},
    output::{self, Format, note},
    place::Place,
    query::{Api, changes::encoded, printable},
};

/// Longest wait for the erasure, and the polling interval.
const DONE_WITHIN: Duration = Duration::from_mins(2);
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Said wherever an erasure is announced or confirmed.
const ELSEWHERE: &str = "topics, backups and copies in SIEMs keep the clear text until they expire; entries of others \
    that name the person as their resource stay";

/// Arguments of `weir erase`.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The person's id as events name their actor; a person with several ids is erased by each.
    subject: String,
    /// Only show what would be erased.
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    said: Said,
}

/// Options for waiting.
#[derive(Debug, Clone, Copy, Args)]
struct Waiting {
    /// Return once the request is stored, without waiting for the erasure.
    #[arg(long)]
    no_wait: bool,
    /// Request the erasure of a subject under a legal hold too: it waits until the hold is released.
    #[arg(long)]
    when_released: bool,
}

/// Shows what would go, asks, sends the request and waits until it is done or held.
pub(super) async fn erase(args: EraseArgs) -> anyhow::Result<Outcome> {
    if args.subject.trim().is_empty() {
        bail!("the subject is empty: name the person as events name their actor");
    }
    let place = Place::find().await?;
    let api = Api::of(&place, &args.said.trust)?;
    let path = format!("/api/v1/subjects/{}", encoded(&args.subject));
    let before = api.get(&path, &[]).await?["item"].take();
    if args.dry_run {
        return print(&before, args.said.output);
    }
    if args.said.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        bail!("an erasure needs a reason: give it with --reason");
    }
    if !args.waiting.when_released {
        refuse_if_held(&before)?;
    }
    if !args.yes && !confirmed(&before)? {
        note("nothing was erased");
        return Ok(Outcome::No);
    }
    let body = vec![("subject", args.subject.clone().into())];
    let sent = Command { path: &["erasures"], body }.send(&place, &args.said).await?;
    note(ELSEWHERE);
    if args.waiting.no_wait {
        return Ok(sent);
    }
    let when_held = if args.waiting.when_released { Outcome::Done } else { Outcome::No };
    wait(&api, &path, when_held).await
}

/// A subject under a legal hold is not erased unless an option explicitly asks for it.
fn refuse_if_held(subject: &Value) -> anyhow::Result<()> {
    let Some(hold) = subject["held_by"].as_str().map(printable) else { return Ok(()) };
    let name = printable(subject["subject"].as_str().unwrap_or_default());
    bail!(
        "{name} is under a legal hold ({hold}): nothing was requested. Release the hold first (`weir hold list`, `weir hold \
         release`), or request an erasure that waits for the release with --when-released"
    )
}

fn print(subject: &Value, format: Format) -> anyhow::Result<Outcome> {
    if format == Format::Table {
        output::line(&described(subject));
        note(ELSEWHERE);
    } else {
        output::json(subject)?;
    }
    Ok(Outcome::Done)
}

/// Describes the erasure state of a subject in a sentence.
fn described(subject: &Value) -> String {
    let name = printable(subject["subject"].as_str().unwrap_or_default());
    let entries = subject["entries"].as_i64().unwrap_or_default();
    let held = subject["held_by"].as_str().map(printable);
    let held = held.map_or_else(String::new, |hold| format!("; it would wait for the legal hold on {hold}"));
    let state = subject["erasure"]["state"].as_str();
    let state =
        state.map_or_else(String::new, |state| format!("; an erasure was requested already: {state}"));
    format!("{name}: {entries} audit entries would lose their personal part{held}{state}")
}

fn confirmed(subject: &Value) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("no terminal to confirm on: pass --yes, or preview with --dry-run");
    }
    note(&described(subject));
    note(ELSEWHERE);
    note("this cannot be undone; erase? [y/N]");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Waits until the erasure is done, or is known to wait for a hold, which is answered with `when_held`.
async fn wait(api: &Api, path: &str, when_held: Outcome) -> anyhow::Result<Outcome> {
    let deadline = tokio::time::Instant::now() + DONE_WITHIN;
    loop {
        let erasure = api.get(path, &[]).await?["item"]["erasure"].take();
        match erasure["state"].as_str() {
            Some("done") => {
                note(&format!(
                    "erased: {} audit entries, {} rows of other tables",
                    erasure["entries"], erasure["other_rows"]
                ));
                return Ok(Outcome::Done);
            }
            Some("waiting") => {
                let hold = printable(erasure["waits_for"].as_str().unwrap_or_default());
                note(&format!("the erasure waits: there is a legal hold on {hold} (`weir hold list`)"));
                return Ok(when_held);
            }
            _ if tokio::time::Instant::now() >= deadline => {
                let problem = erasure["problem"].as_str().unwrap_or("is the stage retention running?");
                bail!("the erasure is not done yet: {problem}");
            }
            _ => tokio::time::sleep(ASK_EVERY).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_go_is_said_in_a_sentence() {
        let subject = json!({"subject": "ada\n", "entries": 7, "held_by": "project shop", "erasure": {"state": "waiting"}});
        assert_eq!(
            described(&subject),
            "ada\u{fffd}: 7 audit entries would lose their personal part; it would wait for the legal hold on project \
             shop; an erasure was requested already: waiting"
        );
        let free = json!({"subject": "ada", "entries": 0, "held_by": null, "erasure": null});
        assert_eq!(described(&free), "ada: 0 audit entries would lose their personal part");
        assert!(refuse_if_held(&free).is_ok());
        let refused = refuse_if_held(&subject).expect_err("it is held").to_string();
        assert!(refused.starts_with("ada\u{fffd} is under a legal hold (project shop)"), "{refused}");
        assert!(refused.ends_with("--when-released"), "{refused}");
    }
}
