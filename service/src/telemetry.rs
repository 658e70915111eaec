//! Traces: the spans of calls, exported by OTLP over gRPC where the environment names an endpoint.
//!
//! The standard `OTEL_*` variables say where to, how much and under which name. Without an endpoint nothing is set up and
//! nothing is recorded; a call has its ids all the same, for the log.

mod context;
mod span;

use std::{env, sync::OnceLock, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig, tonic_types::transport::ClientTlsConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::{Builder, Runtime};

use crate::exit::Usage;

pub use context::{parse_traceparent, traceparent};
pub use opentelemetry::{
    Array, StringValue, Value,
    trace::{SpanContext, SpanKind},
};
pub use span::{Origin, Span, clip};

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// How long the last spans have to leave when the program ends.
const FLUSH_MAX: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Exports spans until it is dropped; then what is left is flushed.
#[derive(Debug)]
pub struct Telemetry {
    _exporting: Option<Exporting>,
}

#[derive(Debug)]
struct Exporting {
    provider: SdkTracerProvider,
    /// Of its own: spans leave whatever the serving threads do.
    runtime: Option<Runtime>,
}

/// Sets up what the environment asks for. `service` is the name of the program, where the environment has no other.
///
/// # Errors
/// What can't be followed.
pub fn init(service: &'static str) -> Result<Telemetry, Usage> {
    if !is_wanted(variable) {
        return Ok(Telemetry { _exporting: None });
    }
    if let Some((name, protocol)) = PROTOCOLS.into_iter().find_map(|name| Some((name, variable(name)?)))
        && protocol != "grpc"
    {
        return Err(Usage::new(format!("{name}: {protocol} is not built; spans are exported by grpc")));
    }
    let failed = |what: &str| Usage::new(format!("can't export spans: {what}"));
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("telemetry")
        .enable_all()
        .build()
        .map_err(|error| failed(&error.to_string()))?;
    let exporter = {
        let _context = runtime.enter();
        let tls = ClientTlsConfig::new().with_enabled_roots();
        SpanExporter::builder().with_tonic().with_tls_config(tls).build().map_err(|error| failed(&error.to_string()))?
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(service)).build();
    // A tracer that is there already was set up by an embedding program, which knows better.
    let _ = TRACER.set(provider.tracer("luthien"));
    Ok(Telemetry { _exporting: Some(Exporting { provider, runtime: Some(runtime) }) })
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_MAX) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where spans are made; `None`: they are not wanted.
fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let none = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    !disabled && !none && ENDPOINTS.iter().any(|name| variable(name).is_some())
}

fn resource(service: &'static str) -> Resource {
    let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = variable("OTEL_SERVICE_NAME").is_some() || attributes.contains("service.name=");
    let builder = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { builder.build() } else { builder.with_service_name(service).build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_endpoint_switches_it_on() {
        let wanted = |set: &[(&str, &str)]| {
            is_wanted(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let endpoint = (ENDPOINTS[0], "http://127.0.0.1:4317");
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(wanted(&[endpoint]));
        assert!(wanted(&[(ENDPOINTS[1], "http://127.0.0.1:4317")]));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
