//! A scripted model: a real HTTP server on loopback that speaks Anthropic Messages.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use super::scene::Piece;

/// Between two pieces, so that one can see them come.
const PACE: Duration = Duration::from_millis(40);

/// What the model is to say next.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<&'static [Piece]>>);

impl Script {
    /// Sets what the next response is.
    pub fn set(&self, pieces: &'static [Piece]) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pieces;
    }

    fn get(&self) -> &'static [Piece] {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Serves the script until the runtime ends.
pub async fn serve(script: Script) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let app = Router::new().route("/v1/messages", post(messages)).with_state(script);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(addr)
}

async fn messages(State(script): State<Script>) -> Response {
    let events = futures_util::stream::iter(events(script.get())).then(|event| async move {
        sleep(PACE).await;
        Ok::<_, Infallible>(event)
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// The script as the provider would stream it (Anthropic's documentation, "Streaming messages").
fn events(script: &[Piece]) -> Vec<Bytes> {
    let mut events = vec![json!({"type": "message_start", "message": {
        "id": "msg_demo", "type": "message", "role": "assistant", "model": "scripted-model", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 1}}})];
    let mut stop_reason = "end_turn";
    for (index, piece) in script.iter().enumerate() {
        let (block, deltas) = match piece {
            Piece::Text(pieces) => (json!({"type": "text", "text": ""}), text_deltas(pieces)),
            Piece::ToolCall { id, name, arguments } => {
                stop_reason = "tool_use";
                (json!({"type": "tool_use", "id": id, "name": name, "input": {}}), argument_deltas(arguments))
            }
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": stop_reason, "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 42}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(sse).collect()
}

fn text_deltas(pieces: &[&str]) -> Vec<Value> {
    pieces.iter().map(|text| json!({"type": "text_delta", "text": text})).collect()
}

fn argument_deltas(pieces: &[&str]) -> Vec<Value> {
    pieces.iter().map(|json| json!({"type": "input_json_delta", "partial_json": json})).collect()
}

fn sse(event: &Value) -> Bytes {
    let name = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
}
