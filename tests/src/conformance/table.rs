//! How findings are told: to people and to programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    findings::{Broken, Findings, Status},
    rule::Rule,
};

/// Of one rule, how many of the ways in which it was broken are told to people.
const SHOWN: usize = 3;

/// A table of all rules, and below it how each broken one was.
pub fn table(findings: &Findings, colour: bool) -> String {
    let mut out = String::new();
    for rule in Rule::ALL {
        let status = findings.status(*rule);
        let times = match status {
            Status::Broken => findings.times_broken(*rule).to_string(),
            Status::Kept => findings.times_kept(*rule).to_string(),
            Status::NotSeen => String::new(),
        };
        let _ = writeln!(out, "{}  {:<8}{:>7}  {}", rule.id(), painted(status, colour), times, rule.says());
    }
    for rule in findings.broken_rules() {
        let broken = findings.broken_of(rule);
        let _ = writeln!(out, "\n{}  {}", rule.id(), rule.says());
        for Broken { case, what } in broken.iter().take(SHOWN) {
            let _ = writeln!(out, "    {case}: {what}");
        }
        if broken.len() > SHOWN {
            let _ = writeln!(out, "    … and {} times more", broken.len() - SHOWN);
        }
    }
    out
}

/// One line of JSON for each rule.
pub fn json_lines(findings: &Findings) -> String {
    let line = |rule: &Rule| {
        let broken = findings.broken_of(*rule).iter();
        let broken: Vec<Value> = broken.map(|Broken { case, what }| json!({ "case": case, "what": what })).collect();
        let status = findings.status(*rule).name();
        let kept = findings.times_kept(*rule);
        format!(
            "{}\n",
            json!({ "rule": rule.id(), "says": rule.says(), "status": status, "kept": kept, "broken": broken })
        )
    };
    Rule::ALL.iter().map(line).collect()
}

fn painted(status: Status, colour: bool) -> String {
    let name = format!("{:<8}", status.name());
    let code = match status {
        Status::Kept => "32",
        Status::Broken => "31",
        Status::NotSeen => "2",
    };
    if colour { format!("\x1b[{code}m{name}\x1b[0m") } else { name }
}
