//! Any stream, cut anywhere, under any verdicts: in order, once, nothing undecided.
//!
//! Every delta of the upstream carries a mark of its own, and so does every replacement: what was written is compared
//! with the log of verdicts, by marks, and never with what the product computed.

use luthien_proto::{
    event::{BlockDelta, BlockKey, Delta, Step},
    message::{Decision, Outcome},
    request::Dialect,
};
use proptest::prelude::*;

use crate::rig::*;

#[derive(Clone, Debug)]
enum Move {
    /// So many more bytes of the upstream.
    Read(usize),
    /// A verdict on so many more chunks.
    Pass(u64),
    Replace(u64),
    Drop(u64),
    Working,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (1usize..400).prop_map(Move::Read),
        3 => (1u64..6).prop_map(Move::Pass),
        1 => (1u64..3).prop_map(Move::Replace),
        1 => (1u64..3).prop_map(Move::Drop),
        1 => Just(Move::Working),
    ];
    proptest::collection::vec(one, 1..60)
}

fn stream(blocks: &[Vec<u8>], dialect: Dialect) -> String {
    let mut mark = 0;
    let mut next = || {
        mark += 1;
        format!("<{mark}>")
    };
    match dialect {
        Dialect::AnthropicMessages => {
            let mut out = message_start();
            for (index, deltas) in blocks.iter().enumerate() {
                let deltas: Vec<String> = deltas.iter().map(|_| next()).collect();
                let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
                out += &text_block(u32::try_from(index).unwrap(), &deltas);
            }
            out + &message_end("end_turn")
        }
        _ => {
            let chunk = |rest: &str| {
                format!(
                    "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,{rest}}}]}}\n\n"
                )
            };
            let mut out = chunk(r#""delta":{"role":"assistant","content":""},"finish_reason":null"#);
            for (index, deltas) in blocks.iter().enumerate() {
                let field = if index % 2 == 0 { "content" } else { "reasoning_content" };
                for _ in deltas {
                    let mark = next();
                    out += &chunk(&format!(r#""delta":{{"{field}":"{mark}"}},"finish_reason":null"#));
                }
            }
            out + &chunk(r#""delta":{},"finish_reason":"stop""#) + "data: [DONE]\n\n"
        }
    }
}

/// The marks in a text, in order.
fn marks(text: &str) -> Vec<String> {
    let parts = text.split(['<', '>']).skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

fn delta_of(step: &Step) -> Option<(BlockKey, String)> {
    match step {
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }) => Some((*block, text.clone())),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_release_in_order_exactly_once_and_nothing_undecided(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..5), 1..4),
        moves in moves(),
        anthropic in any::<bool>(),
    ) {
        let dialect = if anthropic { Dialect::AnthropicMessages } else { Dialect::OpenAiChat };
        let stream = stream(&blocks, dialect);
        let mut rig = Rig::streaming(dialect, GATE_ALL);
        let (mut read, mut settled, mut expected, mut changed) = (0usize, 0u64, Vec::new(), false);
        for step in moves.into_iter().chain([Move::Read(usize::MAX)]).chain((0..40).map(|_| Move::Pass(u64::MAX))) {
            match step {
                Move::Read(bytes) => {
                    let until = read.max((read.saturating_add(bytes)).min(stream.len()));
                    rig.data(&stream.as_bytes()[read..until]);
                    read = until;
                }
                Move::Working => rig.working(),
                Move::Pass(_) | Move::Replace(_) | Move::Drop(_) => {
                    let (Move::Pass(count) | Move::Replace(count) | Move::Drop(count)) = step else { unreachable!() };
                    let sent = rig.chunks().len() as u64;
                    let through = settled.saturating_add(count).min(sent);
                    let covered: Vec<_> = rig.chunks()[settled as usize..through as usize].iter().map(|c| (*c).clone()).collect();
                    let deltas: Vec<_> = covered.iter().filter_map(|chunk| delta_of(&chunk.event.step)).collect();
                    // Only runs of deltas can be dropped or replaced and leave a response.
                    let only_deltas = !covered.is_empty() && deltas.len() == covered.len();
                    let decision = match step {
                        Move::Replace(_) if only_deltas => {
                            let mark = format!("r{settled}");
                            expected.push(mark.clone());
                            let delta = Delta::Text(format!("<{mark}>"));
                            Decision::Replace(vec![Step::BlockDelta(BlockDelta { block: deltas[0].0, delta }).into()])
                        }
                        Move::Drop(_) if only_deltas => Decision::Replace(Vec::new()),
                        _ => {
                            expected.extend(deltas.iter().flat_map(|(_, text)| marks(text)));
                            Decision::Pass
                        }
                    };
                    changed |= decision != Decision::Pass;
                    if through > settled {
                        rig.verdict(through, decision);
                        settled = through;
                    } else {
                        rig.working();
                    }
                }
            }
            let written = marks(rig.text());
            prop_assert!(expected.starts_with(&written), "{written:?} is no prefix of {expected:?}");
        }
        rig.end();
        rig.pass_all();
        prop_assert_eq!(marks(rig.text()), expected);
        prop_assert_eq!(rig.finished, Some(true));
        prop_assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
        if !changed {
            prop_assert_eq!(rig.text(), &stream);
        }
        events(rig.text());
    }
}
