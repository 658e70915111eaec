//! A provider whose answers are named by the request, in its header `x-case`.

use luthien_tests::{
    fixtures,
    peers::upstream::{Exchange, Reply},
    validate::Dialect,
};
use serde_json::{Value, json};

/// What the scripts' tools answer.
const TOOL_SAYS: &str = "It rains.";

/// The whole responses that it has.
pub fn whole(dialect: Dialect) -> Vec<String> {
    fixtures::all_whole(dialect).into_iter().map(|fixture| fixture.case).collect()
}

/// The streamed responses that it has.
pub fn streamed(dialect: Dialect) -> Vec<String> {
    fixtures::all_streamed(dialect).into_iter().map(|fixture| fixture.case).collect()
}

/// `status-N` fails with that status; `retry-N` does so once, and then answers; `loop-CASE` is that fixture until the tools
/// have answered; anything else is a fixture.
pub fn answer(dialect: Dialect, exchange: &Exchange) -> Option<Reply> {
    let case = exchange.header("x-case");
    if let Some(status) = case.strip_prefix("status-") {
        return Some(failure(dialect, status.parse().ok()?));
    }
    if let Some(status) = case.strip_prefix("retry-") {
        let is_first = exchange.header("x-stainless-retry-count") == "0";
        return Some(if is_first {
            failure(dialect, status.parse().ok()?)
        } else {
            response(dialect, "text", exchange)
        });
    }
    if let Some(case) = case.strip_prefix("loop-") {
        let is_answered = exchange.json().to_string().contains(TOOL_SAYS);
        return Some(response(dialect, if is_answered { "text" } else { case }, exchange));
    }
    Some(response(dialect, case, exchange))
}

fn response(dialect: Dialect, case: &str, exchange: &Exchange) -> Reply {
    let reply = match exchange.json()["stream"] == true {
        true => Reply::stream(&fixtures::streamed(dialect, case)),
        false => Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)),
    };
    with_id(dialect, reply)
}

fn failure(dialect: Dialect, status: u16) -> Reply {
    let reply = with_id(dialect, Reply::json(status, &error(dialect, status)));
    match status {
        429 => reply.header("retry-after", "1").header("retry-after-ms", "20"),
        503 => reply.header("x-should-retry", "true").header("retry-after-ms", "20"),
        _ => reply,
    }
}

fn error(dialect: Dialect, status: u16) -> Value {
    let message = format!("The provider says {status}.");
    match dialect {
        Dialect::OpenAi | Dialect::Responses => {
            json!({"error": {"message": message, "type": "t", "param": "messages", "code": "c"}})
        }
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"type": "api_error", "message": message}, "request_id": "req_1"})
        }
    }
}

fn with_id(dialect: Dialect, reply: Reply) -> Reply {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => reply.header("x-request-id", "req_1"),
        Dialect::Anthropic => reply.header("request-id", "req_1"),
    }
}
