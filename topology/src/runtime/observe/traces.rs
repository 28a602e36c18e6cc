//! Spans to an OpenTelemetry collector, over HTTP.

use std::{future::Future, pin::Pin};

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
    let resource = Resource::builder();
    let resource = if set("OTEL_SERVICE_NAME") { resource } else { resource.with_service_name("weir") };
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(Some(exporter(None, resource.build())?))
}

/// Exports to the URL, or where the environment says.
fn exporter(url: Option<String>, resource: Resource) -> Result<SdkTracerProvider, ExporterBuildError> {
    // One TLS provider for the whole process, whoever comes first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = SpanExporter::builder().with_http().with_http_client(OnRuntime::here());
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
}

impl OnRuntime {
    fn here() -> Self {
        Self { runtime: Handle::current(), client: reqwest::Client::new() }
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
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sending.await? })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;

    #[tokio::test]
    async fn a_span_reaches_the_collector() {
        let collector = MockServer::start().await;
        let ok = ResponseTemplate::new(200);
        Mock::given(path("/v1/traces")).respond_with(ok).expect(1).mount(&collector).await;
        let url = format!("{}/v1/traces", collector.uri());
        let provider = exporter(Some(url), Resource::builder().build()).expect("an exporter");
        provider.tracer("test").in_span("process", |_| {});
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
        flushed.await.expect("no panic").expect("exported");
    }
}
