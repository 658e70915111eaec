//! What a replay found, for people and for programs.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use luthien_policy::replay::{Difference, Side};

use super::Replayed;
use crate::style::Style;

/// The finest step of the progress.
const STEPS: u64 = 1000;

/// Tells of each call as it comes, and of all at the end.
pub(super) struct Report {
    jsonl: Option<Box<dyn Write>>,
    /// Whether people read stdout.
    shows_table: bool,
    style: Style,
    progress: ProgressBar,
    calls: usize,
    differ: usize,
    asked: usize,
    unanswered: usize,
    /// The policies that a replay does not ask.
    not_asked: BTreeSet<String>,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub fn new(jsonl: Option<&Path>) -> anyhow::Result<Self> {
        let is_stdout = jsonl.is_some_and(|path| path.as_os_str() == "-");
        let jsonl: Option<Box<dyn Write>> = match jsonl {
            None => None,
            Some(_) if is_stdout => Some(Box::new(io::stdout().lock())),
            Some(path) => {
                let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
                Some(Box::new(BufWriter::new(file)))
            }
        };
        let progress = if io::stderr().is_terminal() { ProgressBar::new(STEPS) } else { ProgressBar::hidden() };
        let template = "{bar:30} {percent:>3} %  {msg}  {elapsed_precise}";
        progress.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self {
            jsonl,
            shows_table: !is_stdout,
            style: Style::of_stdout(),
            progress,
            calls: 0,
            differ: 0,
            asked: 0,
            unanswered: 0,
            not_asked: BTreeSet::new(),
            failed: 0,
            skipped: 0,
        })
    }

    /// So much is done, from 0 to 1.
    pub fn progress(&self, share: f64) {
        self.progress.set_position((share * STEPS as f64) as u64);
        self.progress.set_message(format!("{} calls, {} differ", self.calls, self.differ));
    }

    pub fn add(&mut self, call: &Replayed) -> anyhow::Result<()> {
        self.calls += 1;
        self.differ += usize::from(!call.differences.is_empty());
        self.asked += call.asked;
        self.unanswered += usize::from(call.unanswered > 0);
        self.not_asked.extend(call.not_asked.iter().cloned());
        self.failed += usize::from(call.error.is_some());
        if let Some(jsonl) = &mut self.jsonl {
            serde_json::to_writer(&mut *jsonl, call)?;
            jsonl.write_all(b"\n")?;
        }
        if self.shows_table && !(call.differences.is_empty() && call.error.is_none()) {
            let rows = self.rows(call);
            self.progress.suspend(|| io::stdout().write_all(rows.as_bytes()))?;
        }
        Ok(())
    }

    /// No policy was asked about a call.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Says how much differs; whether anything does, or could not be judged.
    pub fn finish(mut self) -> anyhow::Result<bool> {
        self.progress.finish_and_clear();
        if let Some(jsonl) = &mut self.jsonl {
            jsonl.flush()?;
        }
        if self.shows_table {
            let (calls, differ) = (count(self.calls, "call"), self.differ);
            println!("{}", self.style.heading(format!("{calls} judged anew: {differ} would be decided otherwise.")));
            if self.asked > 0 {
                println!("Models were asked {} that the record has no answer to.", count(self.asked, "question"));
            }
            if self.unanswered > 0 {
                let asked = count(self.unanswered, "call");
                println!(
                    "In {asked}, policies ask models what is not on record; it counts as not answered (marked ?; --ask asks)."
                );
            }
            for policy in &self.not_asked {
                println!("{} is remote, and a replay asks nobody: its on_failure decided in its place.", plain(policy));
            }
            if self.failed > 0 {
                println!("{} could not be judged (marked !).", count(self.failed, "call"));
            }
            if self.skipped > 0 {
                println!("{} left out: no policy was asked about them.", count(self.skipped, "call"));
            }
        }
        Ok(self.differ > 0 || self.failed > 0)
    }

    fn rows(&self, call: &Replayed) -> String {
        let style = self.style;
        let mark = match (&call.error, call.unanswered) {
            (Some(_), _) => " !",
            (None, 0) => "",
            (None, _) => " ?",
        };
        let began = plain(call.started_at.get(..19).unwrap_or(&call.started_at)).replace('T', " ");
        let mut rows = format!("{}  {began}  {}{mark}\n", style.heading(call.call_id), plain(&call.model));
        for difference in &call.differences {
            let Difference { before, after, .. } = difference;
            let line = format!("{:<28} {} → {}", place(difference), side(before), side(after));
            rows.push_str(&format!("  {}\n", plain(&line)));
            for (side, is_after) in [(before, false), (after, true)] {
                let text = content(side);
                let line = format!("    {} {text}\n", if is_after { "+" } else { "-" });
                match (text.is_empty(), is_after) {
                    (true, _) => {}
                    (false, false) => rows.push_str(&style.withheld(line).to_string()),
                    (false, true) => rows.push_str(&style.made(line).to_string()),
                }
            }
        }
        if let Some(error) = &call.error {
            rows.push_str(&format!("  {}\n", plain(error)));
        }
        if call.is_cut && !call.differences.is_empty() {
            let note = "  the policies of then ended this response: what the model would have said is not on record\n";
            rows.push_str(&style.quiet(note).to_string());
        }
        rows.push('\n');
        rows
    }
}

fn place(difference: &Difference) -> String {
    let Difference { at, kind, tool, seq, .. } = difference;
    let name = tool.as_deref().or(kind.as_deref()).unwrap_or(at);
    match seq {
        Some(seq) => format!("{name} (chunk {seq})"),
        None => name.to_owned(),
    }
}

fn side(side: &Side) -> String {
    let policies: Vec<&str> = side.policies.iter().map(String::as_str).collect();
    match policies.is_empty() {
        true => side.decision.clone(),
        false => format!("{} by {}", side.decision, policies.join(", ")),
    }
}

/// Without what a terminal would obey: clients, models and upstreams chose these words.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a client gets, on one line that a terminal can hold.
fn content(side: &Side) -> String {
    const WIDTH: usize = 100;
    let field = |name: &str| side.content.get(name).and_then(serde_json::Value::as_str);
    let text = match ["text", "arguments", "message"].into_iter().find_map(field) {
        Some(text) => text.to_owned(),
        None if side.content.is_null() => String::new(),
        None => side.content.to_string(),
    };
    let mut shown: String = plain(&text).chars().take(WIDTH).collect();
    if text.chars().nth(WIDTH).is_some() {
        shown.push('…');
    }
    shown
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
