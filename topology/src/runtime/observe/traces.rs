//! Spans to an OpenTelemetry collector, over HTTP.

use std::{collections::HashMap, future::Future, pin::Pin};

use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tokio::runtime::Handle;

/// Exports where `OTEL_EXPORTER_OTLP_ENDPOINT` says; nothing where it says nothing, and with
/// `OTEL_SDK_DISABLED`.
pub(super) fn exporter_from_env() -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let wanted = set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    if !wanted || std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value == "true") {
        return Ok(None);
    }
    let headers = headers(|name| std::env::var(name).ok())?;
    let resource = Resource::builder();
    let resource = if set("OTEL_SERVICE_NAME") { resource } else { resource.with_service_name("weir") };
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Some(exporter(None, headers, resource.build())?))
}

/// The headers of the file that `OTEL_EXPORTER_OTLP_HEADERS_FILE` names; none where a variable sets headers, which the
/// exporter reads itself.
fn headers(variable: impl Fn(&str) -> Option<String>) -> Result<HashMap<String, String>, ExporterBuildError> {
    const FILE: &str = "OTEL_EXPORTER_OTLP_HEADERS_FILE";
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS")).is_some() {
        return Ok(HashMap::new());
    }
    let Some(file) = set(FILE) else { return Ok(HashMap::new()) };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        ExporterBuildError::InvalidConfiguration(format!(
            "the file {file}, which {FILE} names, cannot be read: {error}"
        ))
    })?;
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
}

/// Exports to the URL, or where the environment says, with these headers beside those that it names.
fn exporter(
    url: Option<String>,
    headers: HashMap<String, String>,
    resource: Resource,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    // One TLS provider for the whole process, whoever comes first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client =
        OnRuntime::here().map_err(|error| ExporterBuildError::InvalidConfiguration(error.to_string()))?;
    let mut builder = SpanExporter::builder().with_http().with_http_client(client).with_headers(headers);
    if let Some(url) = url {
        builder = builder.with_endpoint(url);
    }
    Ok(SdkTracerProvider::builder().with_batch_exporter(builder.build()?).with_resource(resource).build())
}

/// Sends on the runtime that it was made in: batches are exported from a plain thread, which has none.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    client: reqwest::Client,
    /// In clear text, where a proxy would read the headers.
    direct: reqwest::Client,
}

impl OnRuntime {
    fn here() -> Result<Self, reqwest::Error> {
        let direct = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { runtime: Handle::current(), client: reqwest::Client::builder().build()?, direct })
    }
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let is_https = request.uri().scheme_str() == Some("https");
        let client = if is_https { self.client.clone() } else { self.direct.clone() };
        let sending = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sending.await? })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{header, path},
    };

    use super::*;

    #[tokio::test]
    async fn a_span_reaches_the_collector_with_the_headers_of_a_file() {
        let collector = MockServer::start().await;
        let ok = ResponseTemplate::new(200);
        let request = Mock::given(path("/v1/traces"));
        let request = request.and(header("authorization", "Bearer a b")).and(header("x-tenant", "acme"));
        request.respond_with(ok).expect(1).mount(&collector).await;
        let url = format!("{}/v1/traces", collector.uri());
        let file = std::env::temp_dir().join(format!("weir-otlp-headers-{}", std::process::id()));
        std::fs::write(&file, "authorization=Bearer%20a%20b, x-tenant=acme\n").expect("written");
        let named = file.display().to_string();
        let headers = headers(|name| (name == "OTEL_EXPORTER_OTLP_HEADERS_FILE").then(|| named.clone()));
        std::fs::remove_file(&file).expect("removed");
        let headers = headers.expect("headers");
        let provider = exporter(Some(url), headers, Resource::builder().build()).expect("an exporter");
        provider.tracer("test").in_span("process", |_| {});
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
        flushed.await.expect("no panic").expect("exported");
    }

    #[test]
    fn headers_of_a_variable_win_over_those_of_a_file() {
        for set in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
            let variable =
                |name: &str| (name == set || name.ends_with("_FILE")).then(|| "/nowhere".to_owned());
            assert!(headers(variable).expect("no file is read").is_empty(), "{set}");
        }
        assert!(headers(|_| None).expect("none").is_empty());
        let named = |name: &str| name.ends_with("_FILE").then(|| "/nowhere".to_owned());
        let error = headers(named).expect_err("no such file").to_string();
        assert!(error.contains("/nowhere") && error.contains("OTEL_EXPORTER_OTLP_HEADERS_FILE"), "{error}");
    }
}
