//! A call, whatever happens to it: nothing undecided is written, what is written is a response, and it comes to its end.
//!
//! Everything that the upstream says carries a mark, `<12>`, that stands nowhere else. What was written is compared with
//! the log of verdicts by these marks alone.

mod policy;
mod rig;
mod upstream;

use luthien_call::{
    call::{Content, Head, Input as Happening},
    dialect::CONTENT_TYPE_SSE,
};
use luthien_proto::{
    event::Kind,
    message::{FailureMode, FromService, Interest, Level, Outcome, Reply},
    request::Dialect,
};
use rig::Rig;
use upstream::Upstream;

use crate::{decode::Read, grammar, input::Input};

/// A case: the setting, then what happens, one after the other.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let dialect = if input.flag() { Dialect::OpenAiChat } else { Dialect::AnthropicMessages };
    let interest = interest(&mut input);
    let mut rig = Rig::new(dialect, interest, &mut input);
    let mut upstream = Upstream::new(dialect);
    let prepared = input.flag();
    if prepared {
        rig.admit(&mut input);
        rig.head(200, Content::Sse);
        upstream.response(&mut input);
    }
    while !input.is_empty() && rig.done.is_none() {
        happen(&mut rig, &mut upstream, &mut input);
        rig.check_written(&upstream);
    }
    rig.run_out();
    rig.check_written(&upstream);
    check_response(&rig, dialect);
    if interest.gates() && rig.has_failure_without_end() {
        assert_ne!(rig.outcome(), Some(Outcome::Delivered), "the upstream failed, and the response did not");
        assert_ne!(
            rig.outcome(),
            Some(Outcome::EndedByPolicy),
            "the upstream failed, and no verdict ended the response"
        );
    }
    if rig.only_passed && rig.outcome() == Some(Outcome::Delivered) && interest.gates() {
        rig.check_all_passed_was_written();
    }
}

fn interest(input: &mut Input<'_>) -> Interest {
    match input.below(6) {
        0 | 1 => Interest::all(Level::Gate),
        2 => Interest::all(Level::Record),
        _ => Kind::ALL.into_iter().fold(Interest::all(Level::Record), |interest, kind| {
            interest.with(kind, [Level::Record, Level::Observe, Level::Gate][usize::from(input.below(3))])
        }),
    }
}

fn happen(rig: &mut Rig, upstream: &mut Upstream, input: &mut Input<'_>) {
    match input.below(24) {
        0..=3 => rig.data(upstream.next(usize::from(input.byte()) + 1)),
        4 => rig.data(upstream.next(usize::MAX)),
        5..=7 => upstream.say(input),
        8 => upstream.response(input),
        9..=11 => policy::pass(rig, input),
        12 => policy::pass_all(rig),
        13 | 14 => policy::replace(rig, input),
        15 => policy::end(rig, input),
        16 => policy::nonsense(rig, input),
        17 => rig.say(Reply::Working),
        18 => rig.admit(input),
        19 => {
            let status = [200, 200, 200, 204, 302, 400, 429, 500][usize::from(input.below(8))];
            let content = [Content::Sse, Content::Json, Content::Other, Content::Encoded];
            rig.head(status, content[usize::from(input.below(4))]);
        }
        20 => rig.happen(Happening::UpstreamEnd),
        21 => rig.tick(input.flag()),
        22 => rig.take(usize::from(input.byte())),
        _ => match input.below(8) {
            0 => rig.happen(Happening::ClientGone),
            1 => rig.lose(Ok(())),
            2 => rig.lose(Err("it is gone".into())),
            3 => rig.happen(Happening::UpstreamFailed("it broke off".to_owned())),
            4 => {
                let seen = u64::from(input.byte());
                rig.said(FromService { message: Reply::Working, seen });
            }
            5 => upstream.body(input),
            _ => rig.is_slow = !rig.is_slow,
        },
    }
}

/// A response that was made or changed here is one of its dialect.
fn check_response(rig: &Rig, dialect: Dialect) {
    let (streams, is_error) = match &rig.head {
        Some(Head::Upstream { intact: false }) => {
            (rig.content == Some(Content::Sse) && rig.status_is_success, !rig.status_is_success)
        }
        Some(Head::Own { status: 200, content_type, .. }) => (*content_type == CONTENT_TYPE_SSE, false),
        Some(Head::Upstream { intact: true } | Head::Converted { .. } | Head::Own { .. }) | None => return,
    };
    if rig.finished != Some(true) {
        return;
    }
    if streams {
        let read = Read::of(dialect, &rig.written);
        assert_eq!(read.broken, None, "{}", String::from_utf8_lossy(&rig.written));
        grammar::check_whole(&read.events());
    } else if !is_error || !rig.body.starts_with(&rig.written) {
        serde_json::from_slice::<serde_json::Value>(&rig.written)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&rig.written)));
    }
}

/// The failure mode that a byte says: closed, mostly.
fn failure_mode(input: &mut Input<'_>) -> FailureMode {
    if input.below(4) == 3 { FailureMode::Open } else { FailureMode::Closed }
}
