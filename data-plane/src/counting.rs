//! How many tokens a request has: asked of the upstream that it would go to. No model answers, so there is nothing to
//! judge.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use luthien_call::{
    conversion::{self, Target},
    dialect::{self, ClientRequest},
};
use luthien_proto::{Step, event::CallError, request::Dialect};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    client::Body,
    headers, intake,
    plane::Plane,
    refusal::Refusal,
    relay,
    routes::{Asked, Upstream, gemini_model},
    upstream::whole_body,
};

/// The largest answer that is read.
const LARGEST: usize = 1024 * 1024;

/// What OpenAI counts, of a request of the Responses dialect.
const COUNTED_BY_OPENAI: &[&str] = &[
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "parallel_tool_calls",
    "truncation",
];

/// Answers how many tokens a request of the dialect has.
pub(crate) async fn count(
    plane: Arc<Plane>,
    dialect: Dialect,
    request: Request<Incoming>,
    connection: CancellationToken,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let caller = plane.auth().caller(&parts.headers)?;
    intake::check_coding(&parts.headers)?;
    let permit = plane.open_call()?;
    let body = intake::read(body, &parts.headers, plane.limits().body, plane.timeouts().request).await?;
    let request = dialect::decode_request(dialect, body)?;
    let model = &request.request.model;
    let route = plane.routes().find(model).ok_or_else(|| Refusal::NoRoute(model.clone()))?;
    let (upstream, upstream_model) = (route.upstream_for(dialect), route.upstream_model(model));
    let same = upstream.dialect == dialect;
    let query = parts.uri.query().filter(|_| same);
    let uri = upstream.uri(Asked::Count { model: upstream_model }, query);
    let uri = uri.ok_or_else(|| Refusal::NotCountable(model.clone()))?;
    let mut headers = if same {
        headers::to_upstream(&parts.headers)
    } else {
        headers::to_foreign_upstream(&parts.headers, upstream.dialect)
    };
    caller.authorize(dialect, upstream, &mut headers)?;
    let body = if same {
        conversion::forward(&request, upstream_model, &upstream.options).0
    } else {
        converted(&request, upstream, upstream_model)?
    };
    let mut asked = Request::new(whole_body(body));
    *asked.method_mut() = http::Method::POST;
    *asked.uri_mut() = uri;
    *asked.headers_mut() = headers;
    if same {
        return relay::forward(&plane, asked, permit, connection).await;
    }
    let fetched = relay::fetch(&plane, asked, LARGEST, plane.timeouts().idle).await?;
    if !fetched.status.is_success() {
        return Ok(failed(dialect, upstream.dialect, fetched));
    }
    let count = counted(upstream.dialect, &fetched.body).ok_or(Refusal::UpstreamUnreadable)?;
    Ok(answer(StatusCode::OK, json!({ "input_tokens": count }).to_string().into()))
}

/// The request as the upstream counts it.
fn converted(request: &ClientRequest, upstream: &Upstream, model: &str) -> Result<Bytes, Refusal> {
    let to = Target { dialect: upstream.dialect, model, options: &upstream.options };
    let converted = conversion::convert(request, &to).map_err(intake::unconvertible)?;
    let Ok(Value::Object(mut body)) = serde_json::from_slice(&converted.body) else { return Err(Refusal::Internal) };
    Ok(match upstream.dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages => {
            body.retain(|field, _| COUNTED_BY_OPENAI.contains(&field.as_str()));
            Value::Object(body)
        }
        Dialect::Gemini => {
            let mut asked = Map::from_iter([("model".to_owned(), Value::from(gemini_model(model)))]);
            body.shift_remove("model");
            asked.append(&mut body);
            json!({ "generateContentRequest": asked })
        }
    }
    .to_string()
    .into())
}

fn counted(dialect: Dialect, body: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let field = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages => "input_tokens",
        Dialect::Gemini => "totalTokens",
    };
    // Gemini leaves out what is zero.
    match answer.as_object()?.get(field) {
        None if dialect == Dialect::Gemini => Some(0),
        found => found?.as_u64(),
    }
}

/// The upstream's error in the client's words.
fn failed(dialect: Dialect, upstream: Dialect, fetched: relay::Fetched) -> Response<Body> {
    let status = fetched.status.as_u16();
    let told = dialect::decode_error(upstream, status, &fetched.body);
    let message = if let Step::Failed(error) = told.step { error.message } else { String::new() };
    // 2xx went another way; what is left beside errors is a redirect, which nobody follows.
    let status = match (status, dialect) {
        (..400, _) => 502,
        (503, Dialect::AnthropicMessages) => 529,
        (529, Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini) => 503,
        (status, _) => status,
    };
    let error = CallError { status, message, ..CallError::default() };
    let body = dialect::error_body(dialect, &error);
    let mut response = answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), body);
    let told = headers::to_client_converted(&fetched.headers, upstream, dialect, jiff::Timestamp::now());
    response.headers_mut().extend(told);
    response
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
