//! A collector: OTLP's own trace service, on a free port of the loopback, which keeps what it is sent.

use std::{net::SocketAddr, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value},
    trace::v1::{Span, span::Event},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::within;

/// A collector. It stops when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<watch::Sender<Vec<Collected>>>,
    serving: JoinHandle<()>,
}

/// A span that was exported, and the name of the program that did.
#[derive(Clone, Debug)]
pub struct Collected {
    /// `service.name`.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let spans = Arc::new(watch::Sender::new(Vec::new()));
        let service = TraceServiceServer::new(Service(spans.clone()));
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let served = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
            served.expect("the listener works for as long as the test");
        });
        Self { address, spans, serving }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it got so far.
    pub fn spans(&self) -> Vec<Collected> {
        self.spans.borrow().clone()
    }

    /// Waits for the span of that name of that call.
    pub async fn span(&self, name: &str, call_id: &str) -> Collected {
        self.find(name, |span| span.attribute("luthien.call_id") == call_id).await
    }

    /// Waits for a span of that name within another.
    pub async fn child(&self, name: &str, parent: &Collected) -> Collected {
        self.find(name, |span| span.span.parent_span_id == parent.span.span_id).await
    }

    async fn find(&self, name: &str, wanted: impl Fn(&Collected) -> bool) -> Collected {
        let mut spans = self.spans.subscribe();
        let is_it = |span: &&Collected| span.span.name == name && wanted(span);
        let what = format!("the span {name}");
        let found = within(&what, spans.wait_for(|spans| spans.iter().any(|span| is_it(&span))));
        let spans = found.await.expect("the collector runs");
        spans.iter().find(is_it).expect("it was waited for").clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collected {
    /// An attribute, as text; empty if there is none.
    pub fn attribute(&self, name: &str) -> String {
        attribute(&self.span.attributes, name)
    }

    /// The events of a name.
    pub fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.span.events.iter().filter(move |event| event.name == name)
    }

    /// Its trace, as logs spell it.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Its own id, as logs spell it.
    pub fn span_id(&self) -> String {
        hex(&self.span.span_id)
    }
}

/// An attribute, as text; empty if there is none.
pub fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let value =
        attributes.iter().find(|attribute| attribute.key == name).and_then(|it| it.value.as_ref()?.value.as_ref());
    match value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(is)) => is.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Service(Arc<watch::Sender<Vec<Collected>>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = attribute(&attributes, "service.name");
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let collected = spans.map(|span| Collected { service: service.clone(), span });
            self.0.send_modify(|all| all.extend(collected));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
