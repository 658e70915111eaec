//! Interest that falls during a call.

use luthien_policy::{Fault, HookOutput, HookResult, Seen};
use luthien_proto::{
    Step, ToService,
    event::{BlockKind, Kind},
    message::{Block, Interest, Level},
    request::Dialect,
};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, call},
    response::{piece, read, response, start, stop, text, thinking},
    scripted::{Act, Acting, Scripted, pass, pipeline, scripted, set_of},
};

const NO_TEXT: Interest = Interest::all(Level::Gate).with(Kind::Text, Level::Record);

const TEXT_OBSERVED: Interest = Interest::all(Level::Gate).with(Kind::Text, Level::Observe);

/// Wants no more text once a first block of it has stopped.
fn enough(_: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if let (Step::BlockStopped(_), Some(block)) = (&seen.event.step, seen.block)
        && block.kind == Kind::Text
    {
        out.lower_interest(NO_TEXT);
    }
    Ok(())
}

fn interests(entries: &[Value]) -> Vec<Value> {
    let bodies = entries.iter().map(|entry| entry["body"].clone());
    bodies.filter(|body| body["type"] == "interest").map(|body| body["interest"]["text"].clone()).collect()
}

#[test]
fn blocks_that_start_later_are_only_recorded() {
    let events = response([text(0, ["one"]), text(1, ["two", "three"])]);
    for batches in [&[1][..], &[3], &[9], &[2, 5]] {
        let mut proxy = pipeline([scripted("a", enough)]);
        proxy.respond(&events, batches);
        assert_eq!(proxy.released, events);
        assert_eq!(interests(&proxy.end()), ["record"]);
    }
}

#[test]
fn it_falls_to_what_the_strictest_still_wants() {
    let observes = Scripted { interest: Interest::all(Level::Observe), ..scripted("o", pass) };
    let mut proxy = pipeline([scripted("a", enough), observes]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two"])]), &[1]);
    assert_eq!(interests(&proxy.end()), ["observe"]);

    let mut proxy = pipeline([scripted("a", enough), scripted("gates", pass)]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two"])]), &[1]);
    assert_eq!(interests(&proxy.end()), [""; 0]);
}

#[test]
fn it_never_rises() {
    let rises: Act = |_, _, out| {
        out.lower_interest(Interest::all(Level::Gate));
        Ok(())
    };
    let mut proxy = pipeline([Scripted { interest: NO_TEXT, ..scripted("a", rises) }]);
    proxy.respond(&response([text(0, ["one"])]), &[1]);
    assert_eq!(interests(&proxy.end()), [""; 0]);
}

#[test]
fn what_is_no_longer_gated_can_not_be_changed() {
    let drops: Act = |_, seen, out| {
        if matches!(seen.event.step, Step::BlockStopped(_)) {
            out.lower_interest(TEXT_OBSERVED);
        }
        if matches!(&seen.event.step, Step::BlockDelta(delta) if delta.block.0 == 1) {
            out.drop_chunk();
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("a", drops), scripted("gates", pass)]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two"])]), &[1]);
    assert_eq!(read(&proxy.released).last().unwrap(), "failed: policy a failed");
}

#[test]
fn what_is_already_held_can_still_be_changed() {
    let act: Act = |acting, seen, out| {
        match &seen.event.step {
            Step::BlockDelta(_) => {
                acting.held.push(out.hold());
                out.lower_interest(TEXT_OBSERVED);
            }
            Step::BlockStopped(_) => acting.held.drain(..).for_each(|held| out.replace_held(held, Vec::new())),
            _ => {}
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("a", act)]);
    proxy.respond(&response([text(0, ["one"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: "]);
}

#[test]
fn what_was_gated_may_still_come_and_is_passed() {
    let act: Act = |_, seen, out| {
        if matches!(seen.event.step, Step::Started(_)) {
            out.lower_interest(Interest::all(Level::Record));
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("a", act)]);
    let events = response([text(0, ["one"]), thinking(1, &["hm"], None)]);
    proxy.respond(&events, &[5, 1]);
    assert_eq!(proxy.released, events);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn a_recorded_block_is_a_fault_before_it_falls() {
    let Step::BlockStarted(started) = start(0, BlockKind::Text).step else { panic!() };
    let block = ToService::Block(Block {
        first: 1,
        last: 3,
        first_arrived_us: 0,
        last_arrived_us: 0,
        started,
        extras: Default::default(),
        deltas: Vec::new(),
        stopped: true,
    });
    let mut proxy = pipeline([scripted("a", enough)]);
    assert_eq!(proxy.session.handle(block), Err(Fault::NotRecorded { block: 0 }));
}

#[test]
fn a_proxy_that_does_not_take_it_is_not_told() {
    let mut started = call(Dialect::OpenAiChat);
    started.capabilities.clear();
    let mut proxy = Proxy::start_call(set_of([scripted("a", enough)]), started);
    let events = response([text(0, ["one"]), vec![start(1, BlockKind::Text), piece(1, "two"), stop(1)]]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.released, events);
    let entries = proxy.end();
    assert_eq!(interests(&entries), [""; 0]);
    let coverage = entries.iter().find(|entry| entry["body"]["type"] == "coverage").unwrap();
    assert_eq!(coverage["body"]["policies"][0]["interest"]["text"], json!("gate"));
}
