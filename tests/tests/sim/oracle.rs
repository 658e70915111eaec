//! What must always hold, from what client, upstream and store saw. Knows nothing of how the planes do it.

mod audit;
mod consults;
mod leak;
mod record;

use luthien_tests::validate;

use crate::{
    client::{self, End, Got},
    expect::Expected,
    hear::{self, Heard},
    plan::{Call, Dialect, Plan},
    world::{Run, UPSTREAM_KEY},
};

/// All that does not hold in a run.
pub fn judge(plan: &Plan, run: &Run) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = &run.finished {
        wrong.push(error.clone());
    }
    if run.panics > 0 {
        wrong.push(format!("{} panics", run.panics));
    }
    for (number, call) in plan.calls.iter().enumerate() {
        let got = &run.seen.clients[number];
        let checks = [
            response(plan, call, got),
            leak::check(plan, number, run),
            audit::check(plan, number, run),
            bounded(plan, number, run),
            credentials(call, number, run),
            record::check(plan, number, run),
            consults::check(plan, number, run),
        ];
        wrong.extend(checks.into_iter().filter_map(Result::err).map(|error| format!("call {number}: {error}")));
    }
    wrong.extend(record::contradictions(run));
    wrong
}

/// What a client understood, if anything was said to it.
fn heard(call: &Call, got: &Got) -> Result<Heard, String> {
    match got.status {
        Some(200) if call.streamed => hear::stream(call.client, &got.body),
        Some(200) if got.end == End::Complete => hear::whole(call.client, &got.body),
        Some(200) | None => Ok(Heard::default()),
        Some(status) if got.end != End::Complete => Err(format!("an error of status {status} is not whole")),
        Some(status) => {
            let heard = hear::whole(call.client, &got.body)?;
            match heard.error {
                Some(_) => Ok(heard),
                None => Err(format!("status {status} without the dialect's error")),
            }
        }
    }
}

fn response(plan: &Plan, call: &Call, got: &Got) -> Result<(), String> {
    let (expected, heard) = (Expected::of(plan, call), heard(call, got)?);
    expected.is_begun(&heard)?;
    match got.end {
        End::Left => Ok(()),
        End::Complete if heard.ended => {
            expected.is_whole(&heard)?;
            grammar(call, got)?;
            match call.is_cut() {
                true => Err("is whole, and its upstream broke off".to_owned()),
                false => Ok(()),
            }
        }
        End::Complete if heard.error.is_some() && may_fail(plan, call) => Ok(()),
        End::Broken if may_break(plan, call) => Ok(()),
        end => Err(format!("{end:?} with status {:?}: {heard:?}", got.status)),
    }
}

/// What connections hold on the way from the upstream to the client, and buffers of a fixed size, in bytes.
const ON_THE_WAY: usize = 1_000_000;

/// A client that does not read holds its upstream back.
fn bounded(plan: &Plan, number: usize, run: &Run) -> Result<(), String> {
    let (got, said) = (&run.seen.clients[number], &run.seen.upstreams[number].said);
    let first = got.pieces.first().map_or(u64::MAX, |(at, _)| *at);
    let before = said.iter().take_while(|(at, _)| *at < first).last().map_or(0, |(_, end)| *end);
    match plan.calls[number].looks_away > 0 && plan.window < ON_THE_WAY && before > plan.window + ON_THE_WAY {
        true => Err(format!("the upstream has said {before} bytes before the client read any")),
        false => Ok(()),
    }
}

/// Whether an error is a proper end: those who judge are waited for, but not for ever.
fn may_fail(plan: &Plan, call: &Call) -> bool {
    call.is_cut() || plan.is_long_troubled() || plan.may_outgrow(call)
}

/// Whether the connection may end without a word. A whole response that nobody judges is given on as it comes.
fn may_break(plan: &Plan, call: &Call) -> bool {
    (call.is_cut() && !call.streamed) || plan.loses(call.data_plane)
}

/// A response that ended well satisfies the strictest reader.
fn grammar(call: &Call, got: &Got) -> Result<(), String> {
    let dialect = match call.client {
        Dialect::OpenAi => validate::Dialect::OpenAi,
        Dialect::Anthropic => validate::Dialect::Anthropic,
    };
    let turn = if call.streamed { dialect.stream(&got.body)? } else { dialect.whole(&got.body)? };
    dialect.next_turn(&turn).map(|_| ())
}

/// Each credential goes to its upstream, and nowhere else.
fn credentials(call: &Call, number: usize, run: &Run) -> Result<(), String> {
    let own = client::credential(number);
    let expected = if call.client == call.upstream { own.as_str() } else { UPSTREAM_KEY };
    let shown = &run.seen.upstreams[number].asked;
    if let Some(other) = shown.iter().find(|shown| shown.trim_start_matches("Bearer ") != expected) {
        return Err(format!("the upstream was shown {other:?}"));
    }
    let leaked = |text: &str| text.contains(&own) || text.contains(UPSTREAM_KEY);
    let on_record = run.store.look(|kept| {
        let messages = kept.messages.values().map(|message| &message.body);
        kept.entries.values().map(|entry| &entry.body).chain(messages).any(|body| leaked(body))
    });
    if on_record {
        return Err("a credential is on record".to_owned());
    }
    if leaked(&String::from_utf8_lossy(&run.seen.clients[number].body)) {
        return Err("a credential went to the client".to_owned());
    }
    Ok(())
}
