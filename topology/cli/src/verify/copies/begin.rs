//! `--from`: where copies of a log begin.

use std::collections::BTreeSet;

use anyhow::bail;

/// Where copies begin, as one `--from` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) enum Begin {
    /// Those of each log with the first entry that the file holds of it.
    Held,
    /// Those of the file's only log with this index.
    Only(u64),
    /// Those of one log with this index.
    Of(String, u64),
}

/// `held`, an index, or `<topic>/<partition>=<index>`.
pub(in crate::verify) fn begin(text: &str) -> Result<Begin, String> {
    let index = |text: &str| text.parse::<u64>();
    let begin = match text.rsplit_once('=') {
        None if text == "held" => Ok(Begin::Held),
        None => index(text).map(Begin::Only),
        Some((log, text)) => index(text).map(|index| Begin::Of(log.to_owned(), index)),
    };
    begin.map_err(|_| {
        "the first index is written like weir.activity.v1/0=1200, or 1200 if the file holds one log; held begins each log with \
         the first entry that the file holds"
            .to_owned()
    })
}

/// The first index of a log of which the file holds entries from `held` on.
pub(super) fn index_of(begins: &[Begin], log: &str, held: u64) -> u64 {
    let named = begins.iter().find_map(|begin| match begin {
        Begin::Of(name, index) if name == log => Some(*index),
        Begin::Of(..) | Begin::Only(_) | Begin::Held => None,
    });
    let of_all = || {
        begins.iter().find_map(|begin| match begin {
            Begin::Held => Some(held),
            Begin::Only(index) => Some(*index),
            Begin::Of(..) => None,
        })
    };
    named.or_else(of_all).unwrap_or(0)
}

/// Refuses what does not say one thing of the logs of a file.
pub(super) fn check(begins: &[Begin], logs: &BTreeSet<&str>) -> anyhow::Result<()> {
    let mut named = BTreeSet::new();
    for begin in begins {
        let log = match begin {
            Begin::Of(log, _) => Some(log.as_str()),
            Begin::Only(_) | Begin::Held => None,
        };
        let is_new = named.insert(log);
        match (begin, log) {
            (_, Some(log)) if !logs.contains(log) => {
                bail!("--from names {log}, of which the file holds nothing");
            }
            (_, Some(log)) if !is_new => bail!("--from names {log} twice"),
            (Begin::Only(index), _) if logs.len() > 1 => bail!(
                "the file holds {} logs, and --from {index} does not say which begins there: give --from {}={index}, and the \
                 same for the others",
                logs.len(),
                logs.first().copied().unwrap_or_default()
            ),
            (_, None) if !is_new => bail!("--from says twice where the logs begin that it does not name"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(texts: &[&str]) -> Vec<Begin> {
        texts.iter().map(|text| begin(text).expect(text)).collect()
    }

    #[test]
    fn each_log_begins_where_it_is_said() {
        let of = |texts: &[&str]| ["a/0", "a/1"].map(|log| index_of(&begins(texts), log, 7));
        assert_eq!(of(&[]), [0, 0]);
        assert_eq!(of(&["held"]), [7, 7]);
        assert_eq!(of(&["a/1=3"]), [0, 3]);
        assert_eq!(of(&["held", "a/1=0"]), [7, 0]);
        assert_eq!(of(&["5"]), [5, 5]);
        for odd in ["", "x", "-1", "a/0=", "a/0=x", "=", "1.5"] {
            assert!(begin(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_fits_no_log_or_two_is_refused() {
        let of = |texts: &[&str], logs: &[&str]| {
            check(&begins(texts), &logs.iter().copied().collect()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(of(&["5"], &["a/0"]), Ok(()));
        assert_eq!(of(&["held", "a/1=3"], &["a/0", "a/1"]), Ok(()));
        for (texts, why) in [
            (vec!["5"], "--from a/0=5"),
            (vec!["b/0=1"], "holds nothing"),
            (vec!["a/0=1", "a/0=2"], "twice"),
            (vec!["held", "held"], "twice"),
        ] {
            let refused = of(&texts, &["a/0", "a/1"]).expect_err("refused");
            assert!(refused.contains(why), "{texts:?}: {refused}");
        }
    }
}
