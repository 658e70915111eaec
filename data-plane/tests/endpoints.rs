//! What a data plane without any control plane answers, over real sockets.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io, net::SocketAddr, time::Duration};

use expect_test::{Expect, expect};
use luthien_data_plane::{DataPlane, Running, config::Section};
use luthien_service::{
    Shutdown,
    config::{Document, File},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A data plane whose upstreams are all one listener, and whose control plane is a port where nobody listens.
struct Plane {
    shutdown: Shutdown,
    running: Option<Running>,
    addr: SocketAddr,
    upstream: TcpListener,
}

impl Plane {
    async fn start(more: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = upstream.local_addr().unwrap();
        let text = format!(
            r#"
data_plane:
  listen: 127.0.0.1:0
  threads: 1
  control_plane: [http://127.0.0.1:1, http://127.0.0.1:2]
  upstreams:
    openai: {{ dialect: openai-chat, base_url: "http://{at}/v1", api_key: sk-upstream }}
    anthropic: {{ dialect: anthropic-messages, base_url: "http://{at}" }}
    gemini: {{ dialect: gemini, base_url: "http://{at}" }}
  routes:
    - {{ model: "claude-*", upstream: anthropic }}
    - {{ model: "gpt-*", upstream: openai }}
    - {{ model: "gemini-*", upstream: gemini }}
{more}
"#
        );
        let document = Document::parse("test.yaml", &text, |_| None).unwrap();
        let file: File<Section> = document.get().unwrap();
        let config = file.data_plane.unwrap().check(|_| None).unwrap();
        let shutdown = Shutdown::new();
        let running = DataPlane::start(config, &shutdown).unwrap();
        Self { shutdown, addr: running.addr(), running: Some(running), upstream }
    }

    /// Sends these bytes, and reads until the plane closes the connection.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n");
        self.send(format!("{head}{}\r\n{body}", lines(headers)).as_bytes()).await
    }

    async fn check(&self, path: &str, headers: &str, body: &str, expected: Expect) {
        expected.assert_eq(&seen(&self.post(path, headers, body).await));
    }

    async fn nothing_went_upstream(&self) {
        let accepted = tokio::time::timeout(Duration::from_millis(50), self.upstream.accept()).await;
        assert!(accepted.is_err(), "a connection was made to the upstream");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown.end_now();
        if let Some(running) = self.running.take() {
            running.join().unwrap();
        }
    }
}

fn lines(headers: &str) -> String {
    headers.split('|').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect()
}

/// Status, the headers that matter, and the body; it has to have one id of a call.
fn seen(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().trim_start_matches("HTTP/1.1 ");
    let id: Vec<&str> = head.lines().filter(|line| line.starts_with("x-luthien-call-id: ")).collect();
    assert!(id.len() == 1 && id[0].len() == "x-luthien-call-id: ".len() + 36, "{head}");
    let kept: Vec<&str> = lines
        .filter(|line| {
            ["allow", "retry-after", "content-type"].iter().any(|name| line.starts_with(&format!("{name}:")))
        })
        .collect();
    let body = match body.split_once("\r\n") {
        Some((_, chunk)) if head.contains("transfer-encoding: chunked") => chunk.split("\r\n").next().unwrap(),
        _ => body,
    };
    format!("{status}\n{}\n{body}", kept.join("\n"))
}

const JSON: &str = "content-type: application/json";
const CHAT: &str = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hello"}]}"#;
const MESSAGES: &str = r#"{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn without_a_control_plane_a_call_is_refused_and_nothing_goes_upstream() {
    let plane = Plane::start("").await;
    plane.check("/v1/chat/completions", JSON, CHAT, expect![[r#"
        503 Service Unavailable
        content-type: application/json
        retry-after: 5
        {"error":{"message":"No policy service is available to judge this call; try again later","type":"server_error","param":null,"code":null}}"#]]).await;
    plane.check("/v1/messages?beta=true", JSON, MESSAGES, expect![[r#"
        503 Service Unavailable
        content-type: application/json
        retry-after: 5
        {"type":"error","error":{"type":"overloaded_error","message":"No policy service is available to judge this call; try again later"}}"#]]).await;
    plane.nothing_went_upstream().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_dialect_of_the_path() {
    let plane = Plane::start("").await;
    plane.check("/v1/embeddings", JSON, "{}", expect![[r#"
        404 Not Found
        content-type: application/json
        {"error":{"message":"luthien: there is nothing at /v1/embeddings","type":"invalid_request_error","param":null,"code":null}}"#]]).await;
    plane.check("/v1/messages/batches", JSON, "{}", expect![[r#"
        404 Not Found
        content-type: application/json
        {"type":"error","error":{"type":"not_found_error","message":"luthien: there is nothing at /v1/messages/batches"}}"#]]).await;
    let socket = "GET /v1/responses HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: close, upgrade\r\n\r\n";
    expect![[r#"
        426 Upgrade Required
        content-type: application/json
        {"error":{"message":"luthien: WebSockets are not spoken here; POST the request","type":"invalid_request_error","param":null,"code":null}}"#]].assert_eq(&seen(&plane.send(socket.as_bytes()).await));
    let wrong_method = "GET /v1/messages HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    expect![[r#"
        405 Method Not Allowed
        content-type: application/json
        allow: POST
        {"type":"error","error":{"type":"invalid_request_error","message":"luthien: GET is not possible at /v1/messages; allowed: POST"}}"#]].assert_eq(&seen(&plane.send(wrong_method.as_bytes()).await));
}

#[tokio::test]
async fn models_that_no_route_serves_are_told_so() {
    let plane = Plane::start("").await;
    plane.check("/v1/chat/completions", JSON, &CHAT.replace("gpt-5", "llama"), expect![[r#"
        404 Not Found
        content-type: application/json
        {"error":{"message":"luthien: no route leads the model `llama` anywhere","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#]]).await;
    plane.check("/v1/messages", JSON, &MESSAGES.replace("claude-x", "llama"), expect![[r#"
        404 Not Found
        content-type: application/json
        {"type":"error","error":{"type":"not_found_error","message":"luthien: no route leads the model `llama` anywhere"}}"#]]).await;
}

#[tokio::test]
async fn bodies_that_can_not_be_read_are_told_what_is_wrong() {
    let plane = Plane::start("  limits: { body: 100B }").await;
    plane.check("/v1/chat/completions", JSON, "{\"model\":\n oops}", expect![[r#"
        400 Bad Request
        content-type: application/json
        {"error":{"message":"luthien: the body is not valid JSON: expected value at line 2 column 2","type":"invalid_request_error","param":null,"code":null}}"#]]).await;
    plane.check("/v1/messages", "content-type: text/plain", "{}", expect![[r#"
        415 Unsupported Media Type
        content-type: application/json
        {"type":"error","error":{"type":"invalid_request_error","message":"luthien: the content-type has to be application/json, not text/plain"}}"#]]).await;
    plane.check("/v1/messages", "", "{}", expect![[r#"
        415 Unsupported Media Type
        content-type: application/json
        {"type":"error","error":{"type":"invalid_request_error","message":"luthien: the content-type has to be application/json"}}"#]]).await;
    plane.check("/v1/messages", &format!("{JSON}|content-encoding: gzip"), "{}", expect![[r#"
        415 Unsupported Media Type
        content-type: application/json
        {"type":"error","error":{"type":"invalid_request_error","message":"luthien: the content-encoding gzip is not understood; send the body as it is"}}"#]]).await;
    plane.check("/v1/chat/completions", JSON, &"x".repeat(101), expect![[r#"
        413 Payload Too Large
        content-type: application/json
        {"error":{"message":"luthien: the request body is larger than 100 bytes","type":"invalid_request_error","param":null,"code":null}}"#]]).await;
    let head = "POST /v1/messages HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
    expect![[r#"
        413 Payload Too Large
        content-type: application/json
        {"type":"error","error":{"type":"request_too_large","message":"luthien: the request body is larger than 100 bytes"}}"#]].assert_eq(&seen(&plane.send(chunked.as_bytes()).await));
}

#[tokio::test]
async fn a_body_far_over_the_limit_is_answered_and_not_kept() {
    let plane = Plane::start("  limits: { body: 1KiB }").await;
    let answer = plane.post("/v1/messages", JSON, &"x".repeat(8 << 20)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn without_its_key_nobody_calls() {
    let plane = Plane::start("  auth: { mode: keys, keys: [{ name: ci, key: sk-luthien }] }").await;
    plane.check("/v1/chat/completions", JSON, CHAT, expect![[r#"
        401 Unauthorized
        content-type: application/json
        {"error":{"message":"luthien: an API key is needed: `authorization: Bearer <key>` or `x-api-key: <key>`","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#]]).await;
    let wrong = format!("{JSON}|x-api-key: sk-other");
    plane
        .check(
            "/v1/messages",
            &wrong,
            MESSAGES,
            expect![[r#"
        401 Unauthorized
        content-type: application/json
        {"type":"error","error":{"type":"authentication_error","message":"luthien: the API key is not known here"}}"#]],
        )
        .await;
    let right = format!("{JSON}|authorization: Bearer sk-luthien");
    let answer = plane.post("/v1/chat/completions", &right, CHAT).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn probes_are_answered() {
    let plane = Plane::start("").await;
    for (path, expected) in [("/", "200"), ("/healthz", "200"), ("/readyz", "503")] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
            let answer = plane.send(request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{method} {path}: {answer}");
            let why = "not ready: http://127.0.0.1:1/: ";
            assert_eq!(answer.contains(why), method == "GET" && path == "/readyz", "{answer}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() -> io::Result<()> {
    let plane = Plane::start("  timeouts: { header_read: 50ms }").await;
    for begun in ["", "P", "POST /v1/messages HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(plane.addr).await?;
        stream.write_all(begun.as_bytes()).await?;
        assert_eq!(stream.read(&mut [0; 64]).await?, 0);
    }
    Ok(())
}
