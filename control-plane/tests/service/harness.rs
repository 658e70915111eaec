//! A control plane to talk to.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use luthien_control_plane::{Config, ControlPlane, Running};
use luthien_proto::{
    Event, FromService, Step, ToService,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Chunk, Delta, FinishReason, Finished, Started},
    message::{Admission, Applied, CallEnded, CallResumed, CallStarted, Outcome, Reply, Waited, capability},
    request::{Content, ContentBlock, Dialect, Message, Request as ModelRequest},
    wire::{EnforceRequest, EnforceResponse, policy_service_client::PolicyServiceClient},
};
use luthien_service::{Shutdown, config::Document};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use uuid::Uuid;

pub const TOKEN: &str = "token-of-the-operator";

/// A control plane of one thread in a folder of its own.
pub struct Plane {
    pub running: Option<Running>,
    pub shutdown: Shutdown,
    pub policy: SocketAddr,
    pub admin: SocketAddr,
    pub folder: TempDir,
}

impl Plane {
    /// With these lines in its section of the configuration.
    pub fn start(lines: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), &format!("  admin: {{ token: {TOKEN} }}\n{lines}"))
    }

    pub fn start_in(folder: TempDir, lines: &str) -> Self {
        let database = folder.path().join("luthien.db");
        Self::start_on(&database, folder, lines)
    }

    /// Another one, with these lines, that shares the database.
    pub fn beside(&self, lines: &str) -> Self {
        Self::start_on(&self.database(), TempDir::new().unwrap(), &format!("  admin: {{ token: {TOKEN} }}\n{lines}"))
    }

    /// Ends it, and starts it again with these lines.
    pub async fn restarted(mut self, lines: &str) -> Self {
        self.shutdown.begin();
        self.join().await;
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        Self::start_in(folder, &format!("  admin: {{ token: {TOKEN} }}\n{lines}"))
    }

    /// One that has nobody to hand its calls over to.
    pub fn start_alone(lines: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config(&folder.path().join("luthien.db"), &format!("  admin: {{ token: {TOKEN} }}\n{lines}"));
        config.hands_over = false;
        Self::start_as(config, folder)
    }

    fn start_on(database: &Path, folder: TempDir, lines: &str) -> Self {
        Self::start_as(config(database, lines), folder)
    }

    fn start_as(config: Config, folder: TempDir) -> Self {
        let shutdown = Shutdown::new();
        let running = ControlPlane::start(config, &shutdown).unwrap();
        Self { policy: running.policy_addr(), admin: running.admin_addr(), running: Some(running), shutdown, folder }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("luthien.db")
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.policy)).unwrap().connect().await.unwrap()
    }

    /// A stream, as a proxy opens it.
    pub async fn enforce(&self) -> Stream {
        let mut client = PolicyServiceClient::new(self.channel().await);
        let (requests, receiver) = mpsc::unbounded_channel();
        let replies = client.enforce(UnboundedReceiverStream::new(receiver)).await.unwrap().into_inner();
        Stream { requests: Some(requests), replies }
    }

    /// What the operator gets for a path.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path, &[("authorization", &format!("Bearer {TOKEN}"))]).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let response = self.send("GET", path, headers).await;
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.send_body(method, path, headers, String::new()).await
    }

    /// What the operator gets for putting something.
    pub async fn put(&self, path: &str, headers: &[(&str, &str)], body: String) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let headers = [headers, &[("authorization", &*token)]].concat();
        let response = self.send_body("PUT", path, &headers, body).await;
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    /// Watches what happens in the calls, from when this returns.
    pub async fn watch(&self, query: &str, headers: &[(&str, &str)]) -> Watch {
        let mut request = Request::builder().uri(format!("/api/activity{query}"));
        request =
            request.header(header::HOST, self.admin.to_string()).header("authorization", format!("Bearer {TOKEN}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let io = TokioIo::new(TcpStream::connect(self.admin).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Watch { body: response.into_body(), _sender: sender, unread: String::new() }
    }

    async fn send_body(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, self.admin.to_string());
        }
        let io = TokioIo::new(TcpStream::connect(self.admin).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let (head, body) =
            sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// What is on record of a call, once it has an outcome.
    pub async fn record(&self, id: Uuid) -> Value {
        let path = format!("/api/calls/{id}");
        let token = format!("Bearer {TOKEN}");
        for _ in 0..500 {
            let (_, body) = self.ask(&path, &[("authorization", &token)]).await;
            if body["outcome"].is_string() {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("call {id} got no outcome");
    }

    /// What the operator gets line by line.
    pub async fn lines(&self, path: &str) -> Vec<Value> {
        let response = self.send("GET", path, &[("authorization", &format!("Bearer {TOKEN}"))]).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/jsonl".parse().unwrap())
        );
        let text = std::str::from_utf8(response.body()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A call of a session, from its beginning to its end: what was said before, and what the model answers.
    pub async fn call(&self, session: &str, messages: &[(&str, &str)], answer: &str) -> Uuid {
        let id = Uuid::now_v7();
        let ToService::CallStarted(mut call) = started(id) else { unreachable!() };
        call.session = session.to_owned();
        call.request.messages = messages.iter().map(|(role, text)| message(role, text)).collect();
        let mut stream = self.enforce().await;
        stream.tell(ToService::CallStarted(call));
        stream.admission().await;
        stream.tell(response(answer));
        stream.end(Outcome::Delivered);
        stream.close().await.unwrap();
        id
    }

    /// Waits for the end of a shutdown.
    pub async fn join(&mut self) {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(|| running.join()).await.unwrap().unwrap();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown.end_now();
        if let Some(running) = self.running.take() {
            let ended = running.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

fn config(database: &Path, lines: &str) -> Config {
    let text = format!(
        "control_plane:\n  grpc_listen: 127.0.0.1:0\n  http_listen: 127.0.0.1:0\n  threads: 1\n  database: sqlite://{}\n{lines}",
        database.display()
    );
    let document = Document::parse("luthien.yaml", &text, |_| None).unwrap();
    Config::load(&document).unwrap()
}

/// One who watches.
pub struct Watch {
    body: hyper::body::Incoming,
    _sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    unread: String,
}

/// An SSE event.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Watch {
    /// The next event.
    pub async fn next(&mut self) -> Seen {
        tokio::time::timeout(Duration::from_secs(30), self.any()).await.unwrap().unwrap()
    }

    /// Everything up to the first event of that name.
    pub async fn until(&mut self, name: &str) -> Vec<Seen> {
        let mut seen = vec![self.next().await];
        while seen.last().unwrap().name != name {
            seen.push(self.next().await);
        }
        seen
    }

    /// The next event; `None`: the stream is over.
    pub async fn any(&mut self) -> Option<Seen> {
        loop {
            while let Some((frame, rest)) = self.unread.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                self.unread = rest;
                let field = |name| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    let (id, name) = (field("id: ").unwrap(), field("event: ").unwrap());
                    return Some(Seen { id, name, data: serde_json::from_str(&data).unwrap() });
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.unread.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

/// A proxy's end of a stream.
pub struct Stream {
    pub requests: Option<mpsc::UnboundedSender<EnforceRequest>>,
    pub replies: Streaming<EnforceResponse>,
}

impl Stream {
    pub fn tell(&self, message: ToService) {
        self.requests.as_ref().unwrap().send(message.into()).unwrap();
    }

    /// The last message of a proxy.
    pub fn end(&mut self, outcome: Outcome) {
        self.tell(ToService::CallEnded(call_ended(outcome)));
        self.requests = None;
    }

    /// The Admission.
    pub async fn admission(&mut self) -> Admission {
        match self.reply().await.message {
            Reply::Admission(admission) => admission,
            other => panic!("{other:?}"),
        }
    }

    /// The next reply that is not Working.
    pub async fn reply(&mut self) -> FromService {
        loop {
            let reply = self.any_reply().await;
            if reply.message != Reply::Working {
                return reply;
            }
        }
    }

    pub async fn any_reply(&mut self) -> FromService {
        self.replies.message().await.unwrap().unwrap().try_into().unwrap()
    }

    /// How the stream is closed, whatever comes before.
    pub async fn close(&mut self) -> Result<(), Status> {
        while self.replies.message().await?.is_some() {}
        Ok(())
    }
}

pub fn started(call_id: Uuid) -> ToService {
    started_by(call_id, &[])
}

/// Of a proxy that can resume calls.
pub fn started_to_be_resumed(call_id: Uuid) -> ToService {
    started_by(call_id, &[capability::RESUME])
}

/// A call that goes on.
pub fn resumed(epoch: u32, admission: Option<Admission>, settled: u64) -> ToService {
    let applied = Applied { settled, ..Applied::default() };
    ToService::CallResumed(Box::new(CallResumed { epoch, admission, applied }))
}

fn message(role: &str, text: &str) -> Message {
    let content = Content::from(ContentBlock::Text(text.into()));
    Message { role: role.into(), content: vec![content], extras: Default::default() }
}

fn started_by(call_id: Uuid, capabilities: &[&str]) -> ToService {
    let capabilities = capabilities.iter().map(|&capability| capability.to_owned()).collect();
    ToService::CallStarted(Box::new(CallStarted { capabilities, ..call_started(call_id) }))
}

/// What a proxy says of a call that begins.
pub fn call_started(call_id: Uuid) -> CallStarted {
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        call_id,
        started_at_us: 1_700_000_000_000_000,
        dialect: Dialect::OpenAiChat,
        upstream_dialect: Dialect::OpenAiChat,
        upstream: "openai".into(),
        route: "gpt-*".into(),
        upstream_model: "gpt-5-mini".into(),
        client: "ci".into(),
        request: ModelRequest {
            model: "gpt-fast".into(),
            stream: true,
            choices: 1,
            messages: vec![message("user", "Hello?")],
            ..Default::default()
        },
    }
}

/// A whole response of one text.
pub fn response(text: &str) -> ToService {
    let block = BlockKey(0);
    let steps = [
        Step::Started(Started { id: "r-1".into(), model: "gpt-5-mini-2026".into(), created: None }),
        Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text.into()) }),
        Step::BlockStopped(block),
        Step::Finished(Finished::new(0, FinishReason::EndTurn)),
        Step::Ended,
    ];
    let chunk = |(seq, step)| Chunk { seq, arrived_us: seq * 10, event: Event::from(step) };
    ToService::Chunks((1..).zip(steps).map(chunk).collect())
}

/// What a proxy says of its end.
pub fn call_ended(outcome: Outcome) -> CallEnded {
    CallEnded {
        outcome,
        written: 6,
        reason: String::new(),
        status: 200,
        upstream_status: 200,
        upstream_first_us: 10,
        client_first_us: 20,
        ended_us: 30,
        opened: None,
        waited: Waited::default(),
    }
}
