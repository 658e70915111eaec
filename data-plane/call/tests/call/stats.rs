//! What became of a call's chunks, in numbers.

use std::time::Duration;

use luthien_call::call::{Fate, Input, Stats};
use luthien_proto::{
    event::{BlockDelta, BlockKey, Delta, Kind, Step},
    message::{Decision, FailureMode, Interest, Level, ServiceFailure, Waited},
    request::Dialect,
};

use crate::rig::*;

fn fates(stats: &Stats) -> [u64; 6] {
    Fate::ALL.map(|fate| stats.total(fate))
}

#[test]
fn every_chunk_has_one_fate() {
    let interest = Interest::all(Level::Record).with(Kind::Text, Level::Gate);
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, interest);
    rig.data(message_start() + &text_block(0, &["a", "b"]) + &tool_start(1, "t", "f"));
    let text = rig.seq_of(|step| matches!(step, Step::BlockStarted(_)));
    rig.after(Duration::from_millis(2));
    let other = Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text("c".to_owned()) });
    rig.pass(text);
    rig.verdict(text + 1, Decision::Replace(vec![other.into()]));
    rig.verdict(text + 2, Decision::Replace(Vec::new()));
    let stats = rig.call.stats();
    let of_text = Fate::ALL.map(|fate| stats.chunks(Some(Kind::Text), fate));
    assert_eq!(of_text, [0, 1, 1, 1, 0, 1], "unjudged, passed, replaced, dropped, opened, withheld");
    assert_eq!(stats.chunks(Some(Kind::ToolCall), Fate::Unjudged), 1);
    let settled = stats.total(Fate::Passed) + stats.total(Fate::Replaced) + stats.total(Fate::Dropped);
    assert_eq!(stats.held.iter().sum::<u64>(), settled);
    assert_eq!(stats.waited, Waited { chunks: settled, total_us: settled * 2_000, longest_us: 2_000 });
}

#[test]
fn what_a_loss_withholds_or_opens_is_counted() {
    for (mode, fate) in [(FailureMode::Closed, Fate::Withheld), (FailureMode::Open, Fate::Opened)] {
        let mut rig = Rig::new(Dialect::AnthropicMessages);
        rig.admit(GATE_ALL, mode);
        rig.head(200, luthien_call::call::Content::Sse);
        rig.data(message_start() + &text_block(0, &["a", "b"]));
        let all: u64 = fates(&rig.call.stats()).iter().sum();
        rig.input(Input::ServiceClosed(Ok(())));
        let stats = rig.call.stats();
        assert_eq!((stats.total(fate), fates(&stats).iter().sum::<u64>()), (all, all));
        assert_eq!(stats.service_failure, Some(ServiceFailure::Lost));
    }
}
