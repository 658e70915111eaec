//! A client: asks once, and keeps what it gets and when.

use std::{rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;

use crate::{
    http1::Reader,
    plan::{Call, Dialect, Plan, Trouble},
    trace::Trace,
};

/// No plane is silent for longer.
const SILENCE: Duration = Duration::from_secs(100);

/// What a client got.
#[derive(Clone, Debug, Default)]
pub struct Got {
    pub status: Option<u16>,
    pub call_id: Option<String>,
    pub body: Vec<u8>,
    /// The length of the body after each piece, and when that was there.
    pub pieces: Vec<(u64, usize)>,
    pub end: End,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It waits, or never came so far.
    #[default]
    Open,
    Complete,
    /// The connection broke before the end.
    Broken,
    /// The client left.
    Left,
}

pub async fn run(plan: Rc<Plan>, number: usize, trace: Trace) -> turmoil::Result {
    let call = &plan.calls[number];
    sleep(Duration::from_millis(call.at)).await;
    if exchange(&plan, call, number, &trace).await.is_err() {
        trace.ended(number, End::Broken);
    }
    Ok(())
}

/// Whether the client may not be told that its connection has ended: the simulated network does not, where more was sent
/// than fits.
fn may_miss_the_end(plan: &Plan, call: &Call) -> bool {
    call.is_cut() || plan.faults.iter().any(|fault| fault.trouble == Trouble::CrashData(call.data_plane))
}

async fn exchange(plan: &Plan, call: &Call, number: usize, trace: &Trace) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((data_plane(call.data_plane), super::world::CLIENTS_PORT)).await?;
    stream.write_all(&request(call, number)).await?;
    sleep(Duration::from_millis(call.looks_away)).await;
    let mut reader = Reader::default();
    let (every, most) = call.reads;
    let mut buffer = vec![0; most];
    loop {
        let read = match timeout(SILENCE, stream.read(&mut buffer)).await {
            Err(_) if may_miss_the_end(plan, call) => 0,
            Err(_) => stream.read(&mut buffer).await?,
            Ok(read) => read?,
        };
        let body = reader.take(&buffer[..read]).map_err(std::io::Error::other)?;
        trace.heard(number, reader.head.as_ref(), &body);
        if reader.is_complete() {
            trace.ended(number, End::Complete);
            return Ok(());
        }
        if call.leaves.is_some_and(|bytes| trace.look(|seen| seen.clients[number].body.len()) >= bytes) {
            trace.ended(number, End::Left);
            return Ok(());
        }
        if read == 0 {
            trace.ended(number, End::Broken);
            return Ok(());
        }
        if every > 0 {
            sleep(Duration::from_millis(every)).await;
        }
    }
}

pub fn data_plane(number: usize) -> String {
    format!("data-plane-{number}")
}

/// What a client shows to be served; it must be seen by the upstream only.
pub fn credential(number: usize) -> String {
    format!("sk-client-{number}-credential")
}

fn request(call: &Call, number: usize) -> Vec<u8> {
    let prompt = format!("<call {number}>");
    let (path, header) = match call.client {
        Dialect::OpenAi => ("/v1/chat/completions", format!("authorization: Bearer {}", credential(number))),
        Dialect::Anthropic => {
            ("/v1/messages", format!("x-api-key: {}\r\nanthropic-version: 2023-06-01", credential(number)))
        }
    };
    let mut body = json!({
        "model": call.upstream.model(), "max_tokens": 1000, "stream": call.streamed,
        "messages": [{ "role": "user", "content": prompt }],
    });
    if call.streamed && call.client == Dialect::OpenAi {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: luthien\r\ncontent-type: application/json\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
