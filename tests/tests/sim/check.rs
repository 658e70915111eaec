//! All that is checked of a seed.

use crate::{
    client::End,
    oracle,
    plan::{Dialect, Plan},
    trace::timeless,
    world::{self, Run},
};

/// What does not hold.
pub fn seed(seed: u64) -> Vec<String> {
    let plan = Plan::of(seed);
    let run = world::run(&plan);
    let mut wrong = oracle::judge(&plan, &run);
    // Each costs a run or two.
    match seed % 4 {
        0 => wrong.extend(same_again(&plan, &run)),
        1 => wrong.extend(same_from_other_pieces(&plan)),
        _ => wrong.extend(same_without_losses(&plan, &run)),
    }
    wrong
}

/// Nothing but the seed decides what happens.
fn same_again(plan: &Plan, run: &Run) -> Option<String> {
    let (one, other) = (&run.seen.log, &world::run(plan).seen.log);
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    match differs {
        Some((one, other)) => Some(format!("run again, {one:?} is {other:?}")),
        None if one.len() != other.len() => Some("run again, more or less happens".to_owned()),
        None => None,
    }
}

/// Where the upstream's bytes are cut makes no difference to the client.
fn same_from_other_pieces(plan: &Plan) -> Vec<String> {
    let plan = plan.without_faults();
    let (one, other) = (world::run(&plan), world::run(&plan.cut_elsewhere()));
    differences(&plan, &one, &other).map(|what| format!("in other pieces, {what}")).collect()
}

/// Whoever of those who judge is lost, and whatever the store does, makes no difference to the client.
fn same_without_losses(plan: &Plan, run: &Run) -> Vec<String> {
    if plan.loses_data_plane() || plan.is_calm() || plan.is_long_troubled() {
        return Vec::new();
    }
    let calm = world::run(&plan.without_faults());
    differences(plan, &calm, run).map(|what| format!("with losses, {what}")).collect()
}

/// Where the clients of two runs got other bytes.
fn differences<'a>(plan: &'a Plan, one: &'a Run, other: &'a Run) -> impl Iterator<Item = String> + use<'a> {
    let clients = plan.calls.iter().zip(one.seen.clients.iter().zip(&other.seen.clients)).enumerate();
    clients.filter_map(|(number, (call, (one, other)))| {
        // What broke off may do so a little earlier or later.
        if call.is_cut() || plan.may_outgrow(call) || one.end == End::Left || other.end == End::Left {
            return None;
        }
        let said = |body: &[u8]| without_keepalives(call.client, timeless(body));
        let (one, other) = (said(&one.body), said(&other.body));
        (one != other).then(|| format!("call {number} gets {other:?}\nand not {one:?}"))
    })
}

fn without_keepalives(dialect: Dialect, body: String) -> String {
    let keepalive = match dialect {
        Dialect::OpenAi => |event: &&str| event.starts_with(':'),
        Dialect::Anthropic => |event: &&str| event.starts_with("event: ping"),
    };
    body.split_inclusive("\n\n").filter(|event| !keepalive(event)).collect()
}
