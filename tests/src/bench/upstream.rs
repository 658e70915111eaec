//! The upstream of a load: it streams as many deltas as the request asks for, each with the time at which it left.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    cell::Script,
    process,
    stamp::{self, Stamp},
};

const BEFORE: &str = r#"data: {"id":"chatcmpl-CkQwLe8mYzVt2nXfS0r1uJd5aHbGp","object":"chat.completion.chunk","created":1763856000,"model":"bench-1","service_tier":"default","system_fingerprint":"fp_560af6e559","choices":[{"index":0,"delta":{"#;
const ROLE: &str =
    r#""role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#;
const CONTENT: &str = r#""content":""#;
const AFTER: &str = r#""},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":""#;
/// OpenAI pads each delta differently.
const PADDING: &str = "aZ3xQ9rTb";
const END: &str = "\"}\n\n";
const FINISH: &str = r#"},"logprobs":null,"finish_reason":"stop"}],"usage":null}"#;
const DONE: &str = "data: [DONE]\n\n";

const WHOLE_BEFORE: &str = r#"{"id":"chatcmpl-CkQwLe8mYzVt2nXfS0r1uJd5aHbGp","object":"chat.completion","created":1763856000,"model":"bench-1","choices":[{"index":0,"message":{"role":"assistant","content":""#;
const WHOLE_AFTER: &str = r#"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":24,"total_tokens":55},"service_tier":"default","system_fingerprint":"fp_560af6e559"}"#;

/// What fills large deltas.
const PROSE: &str = "The quick brown fox jumps over the lazy dog, and then it sleeps for a while under the old tree. ";

/// Serves until the process ends.
///
/// # Errors
/// It can't listen.
pub async fn serve() -> std::io::Result<Infallible> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    process::say_address(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

type Answer = Response<Either<Full<Bytes>, Deltas>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let (content_type, body) = match text.parse::<Script>() {
        Ok(script) if text.contains(r#""stream":true"#) => {
            ("text/event-stream; charset=utf-8", Either::Right(Deltas::new(script)))
        }
        Ok(script) => ("application/json", Either::Left(Full::new(whole(script)))),
        Err(error) => ("text/plain", Either::Left(Full::from(error))),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn whole(script: Script) -> Bytes {
    let mut body = BytesMut::with_capacity(WHOLE_BEFORE.len() + script.bytes + WHOLE_AFTER.len());
    body.put(WHOLE_BEFORE.as_bytes());
    put_text(&mut body, script.bytes);
    body.put(WHOLE_AFTER.as_bytes());
    body.freeze()
}

/// A text of so many bytes, a stamp first.
fn put_text(out: &mut BytesMut, bytes: usize) {
    out.put(&Stamp::now().bytes()[..]);
    let mut left = bytes.saturating_sub(stamp::LEN);
    while left > 0 {
        let piece = left.min(PROSE.len());
        out.put(&PROSE.as_bytes()[..piece]);
        left -= piece;
    }
}

/// A body: the role, so many deltas, the end.
struct Deltas {
    script: Script,
    ticks: Option<Interval>,
    next: Next,
}

enum Next {
    Role,
    Delta(u64),
    Finish,
    Nothing,
}

impl Deltas {
    fn new(script: Script) -> Self {
        let every = Duration::from_micros(script.every_us);
        let ticks = (!every.is_zero()).then(|| {
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { script, ticks, next: Next::Role }
    }

    fn delta(&self, sent: u64) -> Bytes {
        let around = BEFORE.len() + CONTENT.len() + AFTER.len() + PADDING.len() + END.len();
        let mut event = BytesMut::with_capacity(around + self.script.bytes);
        event.put(BEFORE.as_bytes());
        event.put(CONTENT.as_bytes());
        put_text(&mut event, self.script.bytes);
        event.put(AFTER.as_bytes());
        event.put(&PADDING.as_bytes()[..1 + sent as usize % PADDING.len()]);
        event.put(END.as_bytes());
        event.freeze()
    }
}

impl Body for Deltas {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let (bytes, next) = match this.next {
            Next::Role => (Bytes::from(format!("{BEFORE}{ROLE}\n\n")), Next::Delta(0)),
            Next::Delta(sent) if sent < this.script.deltas => {
                if let Some(ticks) = &mut this.ticks {
                    ready!(ticks.poll_tick(cx));
                }
                (this.delta(sent), Next::Delta(sent + 1))
            }
            Next::Delta(_) => (Bytes::from(format!("{BEFORE}{FINISH}\n\n")), Next::Finish),
            Next::Finish => (Bytes::from_static(DONE.as_bytes()), Next::Nothing),
            Next::Nothing => return Poll::Ready(None),
        };
        this.next = next;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
