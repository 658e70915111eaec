//! A client on the socket: sends a request, and keeps every byte that comes back with the time of its arrival.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};

/// The record is written off the path: how often, and how long, it is waited for.
const RECORD_TRIES: u32 = 100;
const RECORD_WAIT: Duration = Duration::from_millis(20);

/// A response as it came.
pub struct Received {
    /// The id under which it is on record.
    pub call_id: String,
    /// What came, and when: since the request was sent.
    pub pieces: Vec<(Duration, Bytes)>,
}

/// Asks the model, as an agent would.
pub async fn ask(plane: SocketAddr) -> anyhow::Result<Received> {
    let body = json!({
        "model": "scripted-model", "max_tokens": 1024, "stream": true,
        "messages": [{"role": "user", "content": "What is next?"}],
    });
    let request = Request::post("/v1/messages")
        .header(header::HOST, plane.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header("anthropic-version", "2023-06-01")
        .header("x-api-key", "demo")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let began = Instant::now();
    let response = send(plane, request).await?;
    let status = response.status();
    let call_id =
        response.headers().get("x-luthien-call-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = response.into_body();
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context("the response broke off")?.into_data() {
            pieces.push((began.elapsed(), data));
        }
    }
    ensure!(status.is_success(), "the gateway answered {status}");
    Ok(Received { call_id, pieces })
}

/// Reads what is on record of a call, as an operator would, once it is complete.
pub async fn record(admin: SocketAddr, token: &str, call_id: &str) -> anyhow::Result<Value> {
    for _ in 0..RECORD_TRIES {
        match read_record(admin, token, call_id).await {
            Ok(record) if !record["outcome"].is_null() => return Ok(record),
            Ok(_) | Err(_) => sleep(RECORD_WAIT).await,
        }
    }
    read_record(admin, token, call_id).await
}

async fn read_record(admin: SocketAddr, token: &str, call_id: &str) -> anyhow::Result<Value> {
    let request = Request::get(format!("/api/calls/{call_id}"))
        .header(header::HOST, admin.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())?;
    let response = send(admin, request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "the admin API answered {status}");
    Ok(serde_json::from_slice(&body)?)
}

async fn send(
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
    let stream = TcpStream::connect(addr).await.with_context(|| format!("can't connect to {addr}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
