//! What a call promises, through its public seam: bytes and verdicts in, bytes and messages out.

mod ends;
mod faults;
mod property;
mod relay;
mod rig;
mod tools;
mod verdicts;
