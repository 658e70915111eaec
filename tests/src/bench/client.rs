//! The load client. It parses as little as it can: the heads, where a body ends, and the stamps.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use super::{
    cell::{Cell, Kind, Pace, Script},
    dialect::Dialect,
    stamp::{Finder, Stamp},
};

/// What all clients of a load have seen.
#[derive(Debug, Default)]
pub struct Seen {
    counting: AtomicBool,
    /// Chunks while it was counted.
    pub chunks: AtomicU64,
    /// Calls that ended while it was counted.
    pub calls: AtomicU64,
    /// Calls begun, counted or not.
    begun: AtomicU64,
    times: Mutex<Vec<u32>>,
    failure: Mutex<Option<String>>,
}

impl Seen {
    fn chunk(&self, micros: u32) {
        if self.counting.load(Ordering::Relaxed) {
            self.chunks.fetch_add(1, Ordering::Relaxed);
            self.times.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
        }
    }

    fn call(&self) {
        if self.counting.load(Ordering::Relaxed) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fail(&self, why: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Begins to count, or ceases.
    pub fn count(&self, counting: bool) {
        self.counting.store(counting, Ordering::Relaxed);
    }

    /// The first thing that went wrong.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The time that each chunk took, in microseconds.
    pub fn take_times(&self) -> Vec<u32> {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many clients have an answer under way.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

/// Clients at work; dropped, they leave.
pub struct Load {
    /// What they have seen.
    pub seen: Arc<Seen>,
    _clients: JoinSet<()>,
}

/// How clients talk to a path.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Where it is.
    pub address: SocketAddr,
    /// What they speak.
    pub dialect: Dialect,
    /// Every mark must come replaced; otherwise none.
    pub replaced: bool,
}

/// Lets the clients of a cell begin.
pub fn begin(talk: Talk, cell: Cell) -> Load {
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for i in 0..cell.clients {
        let mut client = Client { talk, cell, seen: seen.clone() };
        clients.spawn(async move {
            sleep(cell.stagger() * i as u32).await;
            if let Err(error) = client.run().await {
                client.seen.fail(format!("client {i}: {error}"));
            }
        });
    }
    Load { seen, _clients: clients }
}

/// One short call.
///
/// # Errors
/// It went wrong.
pub async fn one_call(talk: Talk, kind: Kind) -> io::Result<()> {
    let cell = Cell::new(kind, 1, Pace::Full, 16);
    let client = Client { talk, cell, seen: Arc::default() };
    let mut stream = TcpStream::connect(talk.address).await?;
    let script = Script { deltas: 10, ..cell.script() };
    client.call(&mut stream, &talk.dialect.request(kind, script), script, &mut buffer()).await
}

struct Client {
    talk: Talk,
    cell: Cell,
    seen: Arc<Seen>,
}

impl Client {
    /// Call after call, on one connection.
    async fn run(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.talk.address).await?;
        stream.set_nodelay(true)?;
        let (script, mut buffer) = (self.cell.script(), buffer());
        let request = self.talk.dialect.request(self.cell.kind, script);
        let mut ticks = Ticks::every(self.cell.between_calls());
        loop {
            ticks.wait().await;
            let begun = Instant::now();
            self.call(&mut stream, &request, script, &mut buffer).await?;
            if self.cell.kind == Kind::Whole {
                self.seen.chunk(begun.elapsed().as_micros() as u32);
            }
            self.seen.call();
        }
    }

    async fn call(&self, stream: &mut TcpStream, request: &[u8], script: Script, buffer: &mut [u8]) -> io::Result<()> {
        stream.write_all(request).await?;
        let (mut head, mut finder, mut stamps) = (Vec::new(), Finder::default(), 0);
        let mut end: Option<End> = None;
        loop {
            let read = stream.read(buffer).await?;
            let now = Stamp::now();
            if read == 0 {
                return Err(io::Error::other("the connection was closed within a response"));
            }
            let mut bytes = &buffer[..read];
            let end = match &mut end {
                Some(end) => end,
                none => {
                    head.extend_from_slice(bytes);
                    let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                    bytes = &bytes[read - (head.len() - at - 4)..];
                    self.seen.begun.fetch_add(1, Ordering::Relaxed);
                    none.insert(End::of(&head[..at])?)
                }
            };
            finder.find(bytes, |stamp| {
                stamps += 1;
                if self.cell.kind == Kind::Streamed {
                    self.seen.chunk(stamp.until(now));
                }
            });
            if end.reached(bytes) {
                return self.check(&finder, stamps, script);
            }
        }
    }

    /// A load that does not do what it should measures nothing.
    fn check(&self, finder: &Finder, stamps: u64, script: Script) -> io::Result<()> {
        let expected = if self.cell.kind == Kind::Whole { 1 } else { script.deltas };
        let replaced = if self.talk.replaced { expected } else { 0 };
        if (stamps, finder.replaced()) == (expected, replaced) {
            return Ok(());
        }
        let came = format!("{stamps} chunks came, {} of them replaced", finder.replaced());
        Err(io::Error::other(format!("{came}; not {expected}, {replaced} of them replaced")))
    }
}

fn buffer() -> Vec<u8> {
    vec![0; 32 * 1024]
}

/// Where a body ends.
enum End {
    After(usize),
    /// With the last chunk of the transfer coding; these are the last bytes so far. No body of ours contains such.
    Chunked([u8; LAST_CHUNK.len()]),
}

const LAST_CHUNK: &[u8; 7] = b"\r\n0\r\n\r\n";

impl End {
    fn of(head: &[u8]) -> io::Result<Self> {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        if !status.contains(" 200") {
            return Err(io::Error::other(format!("answered with {status}")));
        }
        let length = lines.find_map(|line| line.strip_prefix("content-length:"));
        match length.map(|length| length.trim().parse()) {
            Some(Ok(length)) => Ok(Self::After(length)),
            Some(Err(_)) => Err(io::Error::other("a content-length that is no number")),
            None => Ok(Self::Chunked([0; LAST_CHUNK.len()])),
        }
    }

    fn reached(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::After(left) => {
                *left = left.saturating_sub(bytes.len());
                *left == 0
            }
            Self::Chunked(last) => {
                let new = bytes.len().min(last.len());
                last.copy_within(new.., 0);
                let old = last.len() - new;
                last[old..].copy_from_slice(&bytes[bytes.len() - new..]);
                last == LAST_CHUNK
            }
        }
    }
}

/// Waits between calls, if at all.
struct Ticks(Option<tokio::time::Interval>);

impl Ticks {
    fn every(period: Duration) -> Self {
        Self((!period.is_zero()).then(|| {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        }))
    }

    async fn wait(&mut self) {
        if let Some(ticks) = &mut self.0 {
            ticks.tick().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_body_is_seen_however_it_is_cut() {
        let body = b"5\r\nabc\n\n\r\n0\r\n\r\n";
        for size in 1..=body.len() {
            let mut end = End::of(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").unwrap();
            let reached: Vec<bool> = body.chunks(size).map(|piece| end.reached(piece)).collect();
            assert_eq!(reached.iter().position(|reached| *reached), Some(reached.len() - 1), "pieces of {size}");
        }
        let mut end = End::of(b"HTTP/1.1 200 OK\r\nContent-Length: 3").unwrap();
        assert!(!end.reached(b"ab"));
        assert!(end.reached(b"c"));
    }
}
