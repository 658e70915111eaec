//! Policies for one purpose each: judges whose instructions are given, a replacement, and rules that read commands.

mod dangerous;
mod guard;
mod manners;
mod paths;
mod plain_dashes;
mod sensitive;
mod uv;
mod web;

pub(super) use guard::{Guard, build, schema};
pub(super) use manners::{APOLOGIES, YAPPING, manners, manners_schema};
pub(super) use plain_dashes::{plain_dashes, plain_dashes_schema};
