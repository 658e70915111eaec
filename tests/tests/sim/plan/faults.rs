//! What goes wrong, and when.

use super::Plan;
use crate::rng::Rng;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When, in milliseconds.
    pub at: u64,
    /// For how long.
    pub lasts: u64,
    pub trouble: Trouble,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A control plane is killed, and started again.
    Crash(usize),
    /// Nothing said between these two, a data and a control plane, arrives.
    Partition(usize, usize),
    /// The control plane hears the data plane, which does not hear it.
    Deaf(usize, usize),
    /// Messages between the two are late.
    Hold(usize, usize),
    /// A data plane is killed, and started again.
    CrashData(usize),
}

/// Planes wait for each other at least so long, in milliseconds.
const WAITED: u64 = 10_000;
/// The same where one trouble comes on top of another: a connection that is made meanwhile is broken for good, which takes
/// time to be seen, since the simulated network sends nothing twice.
const WAITED_TWICE: u64 = 2000;
/// What they need between two losses to find each other, in milliseconds.
const TO_FIND: u64 = 3000;

impl Fault {
    pub fn end(&self) -> u64 {
        self.at + self.lasts
    }

    /// Whether a data plane can't hear a control plane meanwhile.
    fn silences(&self, data_plane: usize, control_plane: usize) -> bool {
        match self.trouble {
            Trouble::Crash(control) => control == control_plane,
            Trouble::Partition(data, control) | Trouble::Deaf(data, control) | Trouble::Hold(data, control) => {
                data == data_plane && control == control_plane
            }
            Trouble::CrashData(_) => false,
        }
    }

    /// Whether one of the two would be repaired with the other.
    fn is_of_one_with(&self, other: &Self) -> bool {
        use Trouble::{Crash, CrashData, Deaf, Hold, Partition};
        let is_there = match (self.trouble, other.trouble) {
            (Crash(one), Crash(other)) | (CrashData(one), CrashData(other)) => one == other,
            (
                Partition(one, to) | Deaf(one, to) | Hold(one, to),
                Partition(other, from) | Deaf(other, from) | Hold(other, from),
            ) => (one, to) == (other, from),
            _ => false,
        };
        is_there && self.at <= other.end() && other.at <= self.end()
    }
}

impl Plan {
    /// From when to when a data plane can't hear any control plane.
    pub fn silences(&self, data_plane: usize) -> Vec<(u64, u64)> {
        let of = |control| {
            let faults = self.faults.iter().filter(|fault| fault.silences(data_plane, control));
            joined(faults.map(|fault| (fault.at, fault.end())).collect(), 0)
        };
        (1..self.control_planes).fold(of(0), |all, control| common(&all, &of(control)))
    }

    /// Whether planes may have waited for each other for longer than they do.
    pub fn is_long_troubled(&self) -> bool {
        let is_long = |&(from, to): &(u64, u64)| {
            let within = self.faults.iter().filter(|fault| fault.at < to && from < fault.end()).count();
            to - from > if within > 1 { WAITED_TWICE } else { WAITED }
        };
        self.faults.iter().any(|fault| fault.lasts > WAITED)
            || (0..self.data_planes).any(|data| joined(self.silences(data), TO_FIND).iter().any(is_long))
    }
}

/// The same times, where those that are not further apart are one.
fn joined(mut spans: Vec<(u64, u64)>, apart: u64) -> Vec<(u64, u64)> {
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end + apart => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn common(one: &[(u64, u64)], other: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let both = one.iter().flat_map(|&(from, to)| other.iter().map(move |&(begin, end)| (from.max(begin), to.min(end))));
    both.filter(|(from, to)| from < to).collect()
}

pub fn of(seed: u64, plan: &Plan) -> Vec<Fault> {
    let mut rng = Rng::new(seed, "faults");
    if rng.chance(40) {
        return Vec::new();
    }
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..rng.within(1..=2) {
        let fault = fault(&mut rng, plan);
        if !faults.iter().any(|other| other.is_of_one_with(&fault)) {
            faults.push(fault);
        }
    }
    faults
}

fn fault(rng: &mut Rng, plan: &Plan) -> Fault {
    let data = rng.within(0..=plan.data_planes as u64 - 1) as usize;
    let control = rng.within(0..=plan.control_planes as u64 - 1) as usize;
    let trouble = match rng.within(0..=9) {
        0..=3 => Trouble::Crash(control),
        4..=5 => Trouble::Partition(data, control),
        6 => Trouble::Deaf(data, control),
        7..=8 => Trouble::Hold(data, control),
        _ => Trouble::CrashData(data),
    };
    Fault { at: 100 + rng.within(0..=4000), lasts: *rng.pick(&[50, 400, 2000, 2000, 9000, 9000, 40_000]), trouble }
}
