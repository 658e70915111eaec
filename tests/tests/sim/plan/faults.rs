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

impl Fault {
    /// Whether it may last longer than the planes wait for each other.
    pub fn is_long(&self) -> bool {
        self.lasts > 10_000
    }

    pub fn end(&self) -> u64 {
        self.at + self.lasts
    }
}

pub fn of(seed: u64, plan: &Plan) -> Vec<Fault> {
    let mut rng = Rng::new(seed, "faults");
    if rng.chance(40) {
        return Vec::new();
    }
    (0..rng.within(1..=2)).map(|_| fault(&mut rng, plan)).collect()
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
