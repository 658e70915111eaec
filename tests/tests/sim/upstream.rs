//! The model: says what its call's plan says, in its dialect, piece by piece.

mod anthropic;
mod judge;
mod openai;

use std::{rc::Rc, time::Duration};

use tokio::{io::AsyncWriteExt, time::sleep};
use turmoil::net::TcpStream;

use judge::Judge;

use crate::{
    http1, net,
    plan::{Call, Dialect, Plan},
    trace::Trace,
};

pub const PORT: u16 = 80;

/// All that an upstream says to a call.
pub fn body(call: &Call) -> Vec<u8> {
    match (call.upstream, call.streamed) {
        (Dialect::OpenAi, true) => sse(openai::events(&call.response)),
        (Dialect::OpenAi, false) => openai::whole(&call.response).to_string().into_bytes(),
        (Dialect::Anthropic, true) => sse(anthropic::events(&call.response)),
        (Dialect::Anthropic, false) => anthropic::whole(&call.response).to_string().into_bytes(),
    }
}

fn sse(events: Vec<String>) -> Vec<u8> {
    events.concat().into_bytes()
}

/// Serves every upstream of a run.
pub async fn serve(plan: Rc<Plan>, trace: Trace) -> turmoil::Result {
    let listener = net::listen(PORT).await?;
    let judge = Rc::new(Judge::new(&plan));
    loop {
        let (stream, _) = listener.accept().await?;
        let (plan, trace, judge) = (plan.clone(), trace.clone(), judge.clone());
        tokio::task::spawn_local(async move {
            // Whoever left will not be told anything more.
            let _ = answer(stream, &plan, &trace, &judge).await;
        });
    }
}

async fn answer(mut stream: TcpStream, plan: &Plan, trace: &Trace, judge: &Judge) -> std::io::Result<()> {
    let Some((head, body)) = http1::request(&mut stream).await else { return Ok(()) };
    let credentials = head.header("authorization").or(head.header("x-api-key")).unwrap_or_default();
    if judge::is_asked(&body) {
        return judge.answer(&mut stream, &body, credentials, trace).await;
    }
    let Some(number) = call_of(&body) else { return Ok(()) };
    trace.asked(number, credentials);
    let call = &plan.calls[number];
    let body = call.body();
    let content = if call.streamed { "text/event-stream" } else { "application/json" };
    let framing = match call.streamed {
        true => "transfer-encoding: chunked".to_owned(),
        false => format!("content-length: {}", body.len()),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content}\r\nconnection: close\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut from = 0;
    for &(end, wait) in &call.pieces {
        sleep(Duration::from_millis(wait)).await;
        let end = end.min(call.cut.unwrap_or(end));
        if end > from {
            let piece = &body[from..end];
            let piece = if call.streamed { chunk(piece) } else { piece.to_vec() };
            stream.write_all(&piece).await?;
            trace.said(number, end);
            from = end;
        }
        if call.cut == Some(end) {
            trace.note(format!("call {number}: the upstream breaks off behind {end} bytes"));
            // The simulated network loses the end of a connection on which nothing more fits.
            sleep(Duration::from_secs(1)).await;
            return Ok(());
        }
    }
    if call.streamed {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    trace.note(format!("call {number}: the upstream has said all"));
    stream.shutdown().await
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// Which call asks: its client says so in the prompt.
fn call_of(body: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(body);
    let (_, behind) = text.split_once("<call ")?;
    behind.split_once('>')?.0.parse().ok()
}
