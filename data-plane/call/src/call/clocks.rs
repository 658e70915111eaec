//! What a call waits for, and until when.

use std::time::{Duration, Instant};

use super::Times;

/// What a call waits for at a moment; the clocks of what is not waited for stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The policy service owes something.
    pub service: bool,
    /// The policy service was told the end, and owes the close.
    pub close: bool,
    /// A chunk is held, and it is not the upstream that is waited for.
    pub verdict: bool,
    /// The upstream's head.
    pub head: bool,
    /// The upstream's next bytes.
    pub upstream: bool,
    /// The response is complete, and only the end of the upstream's body is outstanding.
    pub upstream_end: bool,
    /// The client waits for the next bytes of a stream.
    pub client: bool,
    /// When the next stream to a policy service is to be opened.
    pub retry: Option<Instant>,
    /// Since when no policy service has the call.
    pub lost: Option<Instant>,
}

/// What came too late, or is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The policy service was silent for two leases.
    Lease,
    /// The policy service did not close the stream.
    Close,
    /// A chunk was held for too long.
    Hold,
    /// The upstream's head or its next bytes.
    Upstream,
    /// The end of the upstream's body.
    UpstreamEnd,
    /// The client has heard nothing for a while.
    Keepalive,
    /// The next stream to a policy service.
    Retry,
    /// No policy service took the call over.
    Takeover,
}

/// How long an upstream's body may stay open behind a complete response, so that its connection can be used again.
const UPSTREAM_END: Duration = Duration::from_secs(1);

/// The clocks of a call.
#[derive(Debug)]
pub struct Clocks {
    times: Times,
    waits: Waits,
    service: Instant,
    close: Instant,
    verdict: Instant,
    /// How long the oldest chunk has been held before `verdict`.
    held_for: Duration,
    upstream: Instant,
    upstream_end: Instant,
    client: Instant,
    kept_alive: bool,
}

impl Clocks {
    /// All standing.
    pub fn new(times: Times, now: Instant) -> Self {
        Self {
            times,
            waits: Waits::default(),
            service: now,
            close: now,
            verdict: now,
            held_for: Duration::ZERO,
            upstream: now,
            upstream_end: now,
            client: now,
            kept_alive: false,
        }
    }

    /// The policy service sets another hold time; the smaller counts.
    pub fn limit_hold(&mut self, hold: Duration) {
        self.times.hold = self.times.hold.min(hold);
    }

    /// How long another policy service may take to take a call over.
    pub fn takeover(&self) -> Duration {
        self.times.takeover
    }

    /// The policy service was heard.
    pub fn heard_service(&mut self, now: Instant) {
        self.service = now;
    }

    /// Another policy service is asked, and has all its time before it.
    pub fn reopened(&mut self, now: Instant) {
        (self.service, self.close) = (now, now);
    }

    /// The oldest chunk was settled.
    pub fn settled(&mut self, now: Instant) {
        (self.verdict, self.held_for) = (now, Duration::ZERO);
    }

    /// The upstream was heard.
    pub fn heard_upstream(&mut self, now: Instant) {
        self.upstream = now;
    }

    /// The client was sent something of the response.
    pub fn wrote(&mut self, now: Instant) {
        (self.client, self.kept_alive) = (now, false);
    }

    /// The client was sent a keepalive.
    pub fn kept_alive(&mut self, now: Instant) {
        (self.client, self.kept_alive) = (now, true);
    }

    /// Sets what is waited for from now on: clocks start where a wait begins, and stand where one ends.
    pub fn wait_for(&mut self, waits: Waits, now: Instant) {
        let was = std::mem::replace(&mut self.waits, waits);
        start(&mut self.service, was.service, waits.service, now);
        start(&mut self.close, was.close, waits.close, now);
        start(&mut self.upstream, was.upstream || was.head, waits.upstream || waits.head, now);
        start(&mut self.upstream_end, was.upstream_end, waits.upstream_end, now);
        start(&mut self.client, was.client, waits.client, now);
        match (was.verdict, waits.verdict) {
            (true, false) => self.held_for += now.saturating_duration_since(self.verdict),
            (false, true) => self.verdict = now,
            (true, true) | (false, false) => {}
        }
    }

    /// When something is due, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines().into_iter().flatten().map(|(at, _)| at).min()
    }

    /// What is due, earliest first.
    pub fn due(&self, now: Instant) -> Option<Due> {
        let due = self.deadlines().into_iter().flatten().filter(|(at, _)| *at <= now);
        due.min_by_key(|(at, _)| *at).map(|(_, due)| due)
    }

    fn deadlines(&self) -> [Option<(Instant, Due)>; 9] {
        let Times { lease, hold, first_byte, idle, keepalive_first, keepalive_every, close, takeover } = self.times;
        let keepalive = if self.kept_alive { keepalive_every } else { keepalive_first };
        let waits = self.waits;
        [
            waits.service.then(|| (self.service + 2 * lease, Due::Lease)),
            waits.close.then(|| (self.close + close, Due::Close)),
            waits.verdict.then(|| (self.verdict + hold.saturating_sub(self.held_for), Due::Hold)),
            waits.head.then(|| (self.upstream + first_byte, Due::Upstream)),
            waits.upstream.then(|| (self.upstream + idle, Due::Upstream)),
            waits.upstream_end.then(|| (self.upstream_end + UPSTREAM_END, Due::UpstreamEnd)),
            waits.client.then(|| (self.client + keepalive, Due::Keepalive)),
            waits.lost.map(|lost| (lost + takeover, Due::Takeover)),
            waits.retry.map(|at| (at, Due::Retry)),
        ]
    }
}

fn start(clock: &mut Instant, was: bool, is: bool, now: Instant) {
    if is && !was {
        *clock = now;
    }
}
