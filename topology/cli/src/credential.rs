//! The token that a command sends, and where it may go.

use anyhow::{Context, bail};
use reqwest::Url;
use serde::Deserialize;

use edge::peer::is_this_machine;

use super::settings::secret;

/// A token that is known here.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    token: String,
    source: &'static str,
    /// The services that it was made for; `None` if it goes wherever the user says.
    made_for: Option<Vec<Url>>,
}

/// URL of a service, and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceUrl {
    url: String,
    named_by: NamedBy,
}

/// Origin of a service's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    /// The environment, or the local deployment.
    User,
    /// `weir.toml` in the current folder alone, which somebody else may have written.
    Folder {
        /// The variable of the environment that names the service.
        variable: &'static str,
    },
}

impl ServiceUrl {
    /// The URL of the settings. The variable wins over the file: where it is not set, the file named the URL.
    pub(super) fn of_settings(url: String, variable: &'static str) -> Self {
        let is_set = std::env::var_os(variable).is_some();
        Self { url, named_by: if is_set { NamedBy::User } else { NamedBy::Folder { variable } } }
    }

    /// The URL of a service that runs in the local deployment.
    pub(super) fn of_deployment(url: String) -> Self {
        Self { url, named_by: NamedBy::User }
    }

    /// The URL, if a token may be made for it: the user named it, or it is on this machine.
    pub(super) fn trusted(&self) -> anyhow::Result<&str> {
        let NamedBy::Folder { variable } = self.named_by else { return Ok(&self.url) };
        let target = self.parse()?;
        if !is_loopback(&target) {
            let file = std::path::absolute("weir.toml")?;
            bail!(
                "no token goes to {target}, which only {} names: set {variable} to it if the service is yours",
                file.display()
            );
        }
        Ok(&self.url)
    }

    /// The URL as it was named.
    pub(super) fn into_url(self) -> String {
        self.url
    }

    fn parse(&self) -> anyhow::Result<Url> {
        self.url.parse().with_context(|| format!("{} is no URL", self.url))
    }
}

/// A file with a token that is bound to services.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    token: String,
    urls: Vec<String>,
}

impl Credential {
    /// The token of `WEIR_TOKEN` or of the file that `WEIR_TOKEN_FILE` names, if one is set.
    pub(super) fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(text) = secret("WEIR_TOKEN")? else { return Ok(None) };
        Self::parse(&text).map(Some)
    }

    /// A bare token, or `{"token": …, "urls": […]}`.
    fn parse(text: &str) -> anyhow::Result<Self> {
        if !text.starts_with('{') {
            return Ok(Self { token: text.to_owned(), source: "WEIR_TOKEN", made_for: None });
        }
        // The parser's own words might quote the token.
        let file = serde_json::from_str(text).ok().context(
            "the token file is neither a token nor JSON of the form {\"token\": \"…\", \"urls\": [\"https://…\"]}",
        )?;
        let TokenFile { token, urls } = file;
        let parse = |url: &String| {
            url.parse().with_context(|| format!("the token file names {url}, which is no URL"))
        };
        let urls = urls.iter().map(parse).collect::<anyhow::Result<_>>()?;
        Ok(Self { token, source: "the token file", made_for: Some(urls) })
    }

    /// Token that `weir auth login` stored.
    pub(super) fn of_login(text: &str) -> anyhow::Result<Self> {
        Ok(Self { source: "the last sign-in", ..Self::parse(text).context("what the last sign-in kept")? })
    }

    /// The local deployment's own token: for the services that it started, and nobody else.
    pub(super) fn of_deployment(token: String, urls: impl IntoIterator<Item = String>) -> Self {
        let urls = urls.into_iter().filter_map(|url| url.parse().ok()).collect();
        Self { token, source: "the local deployment", made_for: Some(urls) }
    }

    /// The token, if it may be sent there: to a service that it was made for, or else that the user named, and in clear
    /// text on this machine only.
    pub(super) fn for_service(self, service: &ServiceUrl) -> anyhow::Result<String> {
        let (url, target) = (&service.url, service.parse()?);
        if target.scheme() != "https" && !is_loopback(&target) {
            bail!("{url} is asked in clear text: a token is sent over https only, or on this machine");
        }
        match &self.made_for {
            None => {
                service.trusted()?;
            }
            Some(urls) if urls.iter().any(|made_for| same_service(made_for, &target)) => {}
            Some(_) => bail!(
                "the token of {} is not for {url}: set WEIR_TOKEN to one that is (`weir key create` there makes it)",
                self.source
            ),
        }
        Ok(self.token)
    }
}

/// Scheme, host and port; the names of this machine are one.
fn same_service(one: &Url, other: &Url) -> bool {
    let host = is_loopback(one) && is_loopback(other) || one.host_str() == other.host_str();
    host && one.scheme() == other.scheme() && one.port_or_known_default() == other.port_or_known_default()
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_this_machine)
}

/// A database's URL without its password.
pub(super) fn without_password(url: &str) -> String {
    let Ok(mut plain) = url.parse::<Url>() else { return "(not a URL)".to_owned() };
    if plain.set_password(None).is_err() {
        return "(not a URL of a server)".to_owned();
    }
    let kept: Vec<(String, String)> = plain
        .query_pairs()
        .filter(|(name, _)| name != "password")
        .map(|(n, v)| (n.into(), v.into()))
        .collect();
    plain.set_query(None);
    if !kept.is_empty() {
        plain.query_pairs_mut().extend_pairs(kept);
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Credential {
        let urls = ["http://127.0.0.1:8640", "https://localhost:8641"].map(str::to_owned);
        Credential::of_deployment("weir_secret".into(), urls)
    }

    #[track_caller]
    fn check_at(credential: Credential, service: &ServiceUrl, sent: bool) {
        let outcome = credential.for_service(service);
        assert_eq!(outcome.is_ok(), sent, "{service:?}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(!format!("{error:#}").contains("weir_secret"));
        }
    }

    #[track_caller]
    fn check(credential: Credential, url: &str, sent: bool) {
        check_at(credential, &ServiceUrl::of_deployment(url.to_owned()), sent);
    }

    #[test]
    fn the_deployments_token_goes_to_its_own_services_only() {
        for own in [
            "http://127.0.0.1:8640",
            "http://localhost:8640/x",
            "https://127.0.0.1:8641",
            "http://[::1]:8640",
        ] {
            check(local(), own, true);
        }
        for foreign in [
            "http://127.0.0.1:9999",
            "https://127.0.0.1:8640",
            "https://evil.example:8641",
            "http://evil.example:8640",
            "http://localhost.evil.example:8640",
            "http://127.0.0.1:8640@evil.example/",
            "nonsense",
        ] {
            check(local(), foreign, false);
        }
    }

    #[test]
    fn no_token_is_sent_in_clear_text_to_another_machine() {
        let set = || Credential::parse("weir_secret").expect("a token");
        check(set(), "https://weir.example.com", true);
        check(set(), "http://localhost:8640", true);
        check(set(), "http://weir.example.com", false);
        check(set(), "http://10.0.0.1:8640", false);
    }

    #[test]
    fn a_token_file_binds_its_token() {
        let file = r#"{"token": "weir_secret", "urls": ["https://weir.example.com"]}"#;
        check(Credential::parse(file).expect("a file"), "https://weir.example.com/api", true);
        check(Credential::parse(file).expect("a file"), "https://weir.example.com:8443", false);
        let error = Credential::parse(r#"{"token": "weir_secret"}"#).err().expect("no urls");
        assert!(!format!("{error:#}").contains("weir_secret"));
    }

    #[test]
    fn a_token_goes_where_its_user_says_and_not_where_a_folder_does() {
        let variable = "WEIR_QUERY_API__URL";
        let of_folder =
            |url: &str| ServiceUrl { url: url.to_owned(), named_by: NamedBy::Folder { variable } };
        let unbound = || Credential::parse("weir_secret").expect("a token");
        check_at(unbound(), &of_folder("https://weir.example.com"), false);
        check_at(unbound(), &of_folder("https://localhost.example.com"), false);
        check_at(unbound(), &of_folder("http://localhost:8641"), true);
        let file = r#"{"token": "weir_secret", "urls": ["https://weir.example.com"]}"#;
        let bound = || Credential::parse(file).expect("a file");
        check_at(bound(), &of_folder("https://weir.example.com"), true);
        check_at(bound(), &of_folder("https://evil.example"), false);
        let error = of_folder("https://evil.example").trusted().expect_err("a folder's").to_string();
        assert!(error.contains("https://evil.example/") && error.contains(variable), "{error}");
        assert!(error.contains("/weir.toml"), "{error}");
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://weir:hunter2@db/weir", "postgres://weir@db/weir"),
            ("postgres://db/weir?password=hunter2&sslmode=require", "postgres://db/weir?sslmode=require"),
            ("postgres://db/weir", "postgres://db/weir"),
            ("host=db password=hunter2", "(not a URL)"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
