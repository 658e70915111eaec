//! What the proxy may say, and what it is answered.

use luthien_policy::{Fault, Output};
use luthien_proto::{
    Chunk, Event, Step, ToService,
    event::{BlockKind, Started},
    message::{AdmissionDecision, Block, CallEnded, Interest, Level, Outcome, Waited},
    request::Dialect,
};
use serde_json::json;

use crate::{
    proxy::{Proxy, call, set},
    response::{failed, piece, response, start, stop, text},
};

fn gated() -> Proxy {
    Proxy::start(set(json!([
        { "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]] } },
    ])))
}

fn recorded() -> Proxy {
    Proxy::start(set(json!([{ "name": "all", "kind": "noop" }])))
}

fn chunks(events: impl IntoIterator<Item = (u64, Event)>) -> ToService {
    let chunks = events.into_iter().map(|(seq, event)| Chunk { seq, arrived_us: seq, event });
    ToService::Chunks(chunks.collect())
}

fn started() -> Event {
    Step::Started(Started::default()).into()
}

fn ended() -> ToService {
    ToService::CallEnded(CallEnded {
        outcome: Outcome::Delivered,
        written: 0,
        reason: String::new(),
        status: 0,
        upstream_status: 0,
        upstream_first_us: 0,
        client_first_us: 0,
        ended_us: 0,
        opened: None,
        waited: Waited::default(),
    })
}

fn fault(mut proxy: Proxy, messages: impl IntoIterator<Item = ToService>) -> Fault {
    let fault = messages.into_iter().find_map(|message| proxy.session.handle(message).err()).expect("a fault");
    let text = fault.to_string();
    while proxy.session.poll().is_some() {}
    if fault != Fault::AfterEnd {
        proxy.session.lost();
        let outcome = proxy.rest().pop().unwrap();
        assert_eq!((&outcome["body"]["outcome"], &outcome["body"]["fault"]), (&json!("unknown"), &json!(text)));
    }
    fault
}

#[test]
fn a_noop_gates_nothing() {
    let mut proxy = recorded();
    let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!() };
    assert_eq!(forward.interest, Interest::all(Level::Record));
    let events = response([text(0, ["hi"])]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.released, events);
    assert!(proxy.verdicts.is_empty());
}

#[test]
fn passes_in_a_row_are_one_verdict() {
    let mut proxy = gated();
    proxy.respond(&response([text(0, ["a", "b", "d"])]), &[9]);
    assert_eq!(proxy.verdicts.len(), 1);
}

#[test]
fn messages_out_of_order_are_faults() {
    let one = || chunks([(1, started())]);
    assert_eq!(fault(gated(), [ToService::CallStarted(Box::new(call(Dialect::OpenAiChat)))]), Fault::StartedTwice);
    assert_eq!(fault(gated(), [ended(), one()]), Fault::AfterEnd);
    assert_eq!(fault(gated(), [ended(), ended()]), Fault::AfterEnd);
    assert_eq!(fault(gated(), [chunks([])]), Fault::Empty);
    assert_eq!(fault(gated(), [one(), one()]), Fault::StepBack { seq: 1, last: 1 });
    assert_eq!(fault(gated(), [chunks([(0, started())])]), Fault::StepBack { seq: 0, last: 0 });
    assert_eq!(fault(gated(), [chunks([(2, started())])]), Fault::Gap { seq: 2, last: 0 });
    assert_eq!(fault(gated(), [one(), chunks([(2, started())])]), Fault::ResponseStartedTwice { seq: 2 });
    assert_eq!(fault(gated(), [chunks([(1, failed()), (2, failed())])]), Fault::AfterLast { seq: 2 });
}

#[test]
fn blocks_out_of_order_are_faults() {
    let begin = || (2, start(0, BlockKind::Text));
    let with = |events: Vec<(u64, Event)>| [chunks([(1, started())]), chunks(events)];
    assert_eq!(fault(gated(), with(vec![(2, piece(0, "a"))])), Fault::NotOpen { seq: 2, block: 0 });
    assert_eq!(fault(gated(), with(vec![(2, stop(0))])), Fault::NotOpen { seq: 2, block: 0 });
    assert_eq!(
        fault(gated(), with(vec![begin(), (3, stop(0)), (4, piece(0, "a"))])),
        Fault::NotOpen { seq: 4, block: 0 }
    );
    assert_eq!(
        fault(gated(), with(vec![begin(), (3, start(0, BlockKind::Text))])),
        Fault::BlockStartedTwice { seq: 3, block: 0 }
    );
    let policys = start(1 << 31, BlockKind::Text);
    assert_eq!(fault(gated(), with(vec![(2, policys)])), Fault::PolicysKey { seq: 2, block: 1 << 31 });
}

#[test]
fn recorded_blocks_are_checked() {
    let part = |first, last, stopped| {
        let Step::BlockStarted(started) = start(0, BlockKind::Text).step else { panic!() };
        let (extras, deltas) = (Default::default(), Vec::new());
        ToService::Block(Block {
            first,
            last,
            first_arrived_us: 0,
            last_arrived_us: 0,
            started,
            extras,
            deltas,
            stopped,
        })
    };
    let block = |first, last| part(first, last, true);
    assert_eq!(fault(gated(), [block(1, 2)]), Fault::NotRecorded { block: 0 });
    assert_eq!(fault(recorded(), [block(3, 2)]), Fault::Range { block: 0, first: 3, last: 2 });
    assert_eq!(fault(recorded(), [block(1, 2), block(3, 4)]), Fault::BlockStartedTwice { seq: 3, block: 0 });

    let mut proxy = recorded();
    for message in [part(1, 2, false), part(3, 4, false), part(5, 6, true)] {
        proxy.session.handle(message).expect("a block that outgrows a message comes in parts");
    }
    assert_eq!(proxy.session.handle(block(7, 8)), Err(Fault::BlockStartedTwice { seq: 7, block: 0 }));
}

#[test]
fn a_batch_with_a_fault_has_no_effect() {
    let mut proxy = gated();
    let batch = chunks([(1, started()), (2, start(0, BlockKind::Text)), (2, stop(0))]);
    let fault = proxy.session.handle(batch).unwrap_err();
    assert!(proxy.session.poll().is_none());
    assert_eq!(proxy.session.handle(chunks([(1, started())])), Err(fault));
}

#[test]
fn nothing_follows_the_end() {
    let mut proxy = gated();
    proxy.session.handle(ended()).unwrap();
    let outputs: Vec<Output> = std::iter::from_fn(|| proxy.session.poll()).collect();
    assert!(matches!(outputs.last(), Some(Output::Ended)));
    proxy.session.lost();
    assert!(proxy.session.poll().is_none());
}
