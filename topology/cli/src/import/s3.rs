//! Objects of S3, and of stores that speak its protocol, fetched to be imported: `s3://BUCKET/PREFIX`.
//!
//! Credentials, region and endpoint come from the environment, by the names that the tools of AWS use. An object that was
//! fetched whole is not fetched again: an interrupted import goes on with what it has. The file has the object's time.

mod fetched;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail, ensure};
use chrono::DateTime;
use edge::outbound;
use reqwest::{Client, Response, Url};
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{ListObjectsV2, list_objects_v2::ListObjectsContent},
};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

pub(super) use self::fetched::Fetched;
use crate::{output::note, status::use_tls_provider};

/// Validity of a signed request.
const SIGNED_FOR: Duration = Duration::from_mins(15);
/// Maximum wait for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum objects of one prefix: a longer list is more than one import should be.
const MAX_OBJECTS: usize = 1_000_000;
/// Maximum characters of an answer that an error quotes.
const MAX_QUOTED: usize = 300;

/// A bucket, and the beginning of the keys that are meant in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    bucket: String,
    prefix: String,
}

impl Location {
    /// The location that an argument names; `None` if it is a path of this machine.
    pub(super) fn of(argument: &Path) -> anyhow::Result<Option<Self>> {
        let Some(rest) = argument.to_str().and_then(|text| text.strip_prefix("s3://")) else {
            return Ok(None);
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(!bucket.is_empty(), "{} names no bucket: s3://BUCKET/PREFIX", argument.display());
        Ok(Some(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Fetches the objects of a location into a folder of its own, below that of all locations.
pub(super) async fn fetch(
    location: Location,
    all: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<Fetched> {
    let store = Store::of_environment(&location.bucket, |name| std::env::var(name).ok())?;
    let objects = store.list(&location.prefix).await?;
    let Location { bucket, prefix } = &location;
    ensure!(!objects.is_empty(), "no object of the bucket {bucket} has a key that begins with {prefix:?}");
    let bytes: u64 = objects.iter().filter_map(|object| object.size).sum();
    note(&format!("{} objects of {bytes} bytes lie below {location}", objects.len()));
    let fetched = Fetched::begin(location, all)?;
    let files: Vec<PathBuf> = objects
        .iter()
        .map(|object| file_of(&object.key).map(|file| fetched.folder().join(file)))
        .collect::<anyhow::Result<_>>()?;
    fetched.keep_only(&files)?;
    for (object, file) in objects.iter().zip(&files) {
        if stop.is_cancelled() {
            bail!("interrupted; the same command with --resume continues");
        }
        store.fetch(object, file).await?;
    }
    Ok(fetched)
}

/// The path of a key below the bucket's folder. A key may say `..`, and must not lead out of it.
fn file_of(key: &str) -> anyhow::Result<PathBuf> {
    let mut path = PathBuf::new();
    for segment in key.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        ensure!(
            segment != ".." && !segment.contains(['\\', '\0']),
            "the object {key:?} has a key that cannot be a file's name; download it under another name"
        );
        path.push(segment);
    }
    Ok(path)
}

/// The time at which an object was last modified.
fn modified_at(object: &ListObjectsContent) -> anyhow::Result<SystemTime> {
    let time = object.last_modified.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    time.map(SystemTime::from).with_context(|| {
        format!(
            "the store does not say when the object {:?} was last modified: {:?}; download its objects and import the files",
            object.key,
            object.last_modified.as_deref().unwrap_or_default()
        )
    })
}

struct Store {
    client: Client,
    bucket: Bucket,
    credentials: Option<Credentials>,
}

impl Store {
    fn of_environment(bucket: &str, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let set = |names: &[&str]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
        };
        let region = set(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let own = set(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        // Names of buckets become names of hosts at AWS; other stores seldom have such names.
        let style =
            if own.is_some() || bucket.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = own.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let url = Url::parse(&endpoint).with_context(|| format!("the endpoint {endpoint:?} is not a URL"))?;
        let credentials = match (set(&["AWS_ACCESS_KEY_ID"]), set(&["AWS_SECRET_ACCESS_KEY"])) {
            (Some(key), Some(secret)) => Some(match set(&["AWS_SESSION_TOKEN"]) {
                Some(token) => Credentials::new_with_token(key, secret, token),
                None => Credentials::new(key, secret),
            }),
            (None, None) => None,
            _ => bail!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set both or not at all"),
        };
        let bucket = Bucket::new(url, style, bucket.to_owned(), region)
            .with_context(|| format!("{endpoint} and the bucket {bucket:?} make no URL"))?;
        use_tls_provider();
        let client = outbound::client_builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build()?;
        Ok(Self { client, bucket, credentials })
    }

    /// All objects whose keys begin with the prefix, in the order of their keys.
    async fn list(&self, prefix: &str) -> anyhow::Result<Vec<ListObjectsContent>> {
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let mut action = self.bucket.list_objects_v2(self.credentials.as_ref());
            action.with_prefix(prefix);
            if let Some(next) = next.take() {
                action.with_continuation_token(next);
            }
            let what = format!("the list of s3://{}/{prefix}", self.bucket.name());
            let text = self.get(action.sign(SIGNED_FOR), &what).await?.text().await?;
            let page = ListObjectsV2::parse_response(&text)
                .with_context(|| format!("{what} is not what S3 answers: {}", quoted(&text)))?;
            // Consoles make folders as empty objects with a slash at the end.
            objects.extend(page.contents.into_iter().filter(|object| !object.key.ends_with('/')));
            ensure!(
                objects.len() <= MAX_OBJECTS,
                "{what} is longer than {MAX_OBJECTS}: name a longer prefix"
            );
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(objects);
            }
        }
    }

    async fn fetch(&self, object: &ListObjectsContent, to: &Path) -> anyhow::Result<()> {
        let modified = modified_at(object)?;
        let there = tokio::fs::metadata(to).await.ok();
        let is_whole = there.is_some_and(|there| {
            Some(there.len()) == object.size && there.modified().is_ok_and(|time| time == modified)
        });
        if is_whole {
            return Ok(());
        }
        let folder = to.parent().context("a file lies in a folder")?;
        tokio::fs::create_dir_all(folder).await.with_context(|| format!("making {}", folder.display()))?;
        let what = format!("s3://{}/{}", self.bucket.name(), object.key);
        let action = self.bucket.get_object(self.credentials.as_ref(), &object.key);
        let mut answer = self.get(action.sign(SIGNED_FOR), &what).await?;
        // A file has its name once it is whole.
        let part = to.with_file_name(".part");
        let mut file = tokio::fs::File::create(&part).await.with_context(|| part.display().to_string())?;
        while let Some(bytes) = answer.chunk().await.with_context(|| format!("{what} was cut short"))? {
            file.write_all(&bytes).await.with_context(|| part.display().to_string())?;
        }
        file.flush().await?;
        let file = file.into_std().await;
        file.set_modified(modified).with_context(|| part.display().to_string())?;
        tokio::fs::rename(&part, to).await.with_context(|| to.display().to_string())?;
        Ok(())
    }

    async fn get(&self, signed: Url, what: &str) -> anyhow::Result<Response> {
        let host = signed.host_str().unwrap_or_default().to_owned();
        // The URL holds the signature, and must not be shown.
        let answer = self.client.get(signed).send().await.map_err(reqwest::Error::without_url);
        let answer = answer.with_context(|| format!("{host} does not answer for {what}"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let advice = match status.as_u16() {
            403 if self.credentials.is_none() => {
                "; no credentials are set: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN"
            }
            301 | 400 => "; AWS_REGION names the bucket's region",
            _ => "",
        };
        bail!("{host} answers {status} for {what}{advice}: {}", quoted(&text))
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_told_from_paths() {
        let of = |text: &str| Location::of(Path::new(text));
        let location =
            |bucket: &str, prefix: &str| Some(Location { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(of("s3://logs/AWSLogs/1/").expect("one"), location("logs", "AWSLogs/1/"));
        assert_eq!(of("s3://logs").expect("one"), location("logs", ""));
        assert_eq!(of("logs/s3").expect("a path"), None);
        assert!(of("s3:///x").is_err());
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        assert_eq!(file_of("a//b/./c.json.gz").expect("a file"), Path::new("a/b/c.json.gz"));
        for odd in ["../x", "a/../../x", "a/..", "a\\..\\x"] {
            assert!(file_of(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_object_has_the_time_that_the_store_tells() {
        let object = |modified: Option<&str>| ListObjectsContent {
            etag: None,
            key: "a".to_owned(),
            last_modified: modified.map(str::to_owned),
            owner: None,
            size: Some(1),
            storage_class: None,
        };
        let told = |modified| modified_at(&object(modified)).ok();
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_580_702_706_250);
        assert_eq!(told(Some("2020-02-03T04:05:06.250Z")), Some(expected));
        assert_eq!(told(Some("2020-02-03T05:05:06.25+01:00")), Some(expected));
        assert_eq!((told(Some("yesterday")), told(None)), (None, None));
    }

    #[test]
    fn the_environment_names_the_store() {
        let store = |set: &[(&str, &str)], bucket: &str| {
            let set: std::collections::HashMap<String, String> =
                set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Store::of_environment(bucket, |name| set.get(name).cloned())
        };
        let url = |store: anyhow::Result<Store>| store.expect("a store").bucket.base_url().to_string();
        assert_eq!(
            url(store(&[("AWS_REGION", "eu-west-1")], "logs")),
            "https://logs.s3.eu-west-1.amazonaws.com/"
        );
        assert_eq!(url(store(&[], "my.logs")), "https://s3.us-east-1.amazonaws.com/my.logs/");
        let own = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"), ("AWS_REGION", "x")];
        assert_eq!(url(store(&own, "logs")), "http://127.0.0.1:9000/logs/");
        assert!(store(&[("AWS_ACCESS_KEY_ID", "a")], "logs").is_err(), "half of the credentials");
    }
}
