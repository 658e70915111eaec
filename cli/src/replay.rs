//! `luthien replay`: what would other policies have decided?

mod calls;
mod report;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use luthien_policy::{
    PolicySet, PolicySetConfig,
    replay::{self, Difference, Next, Recorded, Replay},
};
use luthien_service::config::{ConfigArgs, Document};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use tokio::runtime::Builder;
use uuid::Uuid;

use calls::{Calls, Which};
use report::Report;

#[derive(clap::Args)]
pub struct Args {
    /// The policies to try: a file with `policies`, `pipeline` and `bindings`, or a whole configuration
    #[arg(long, value_name = "FILE")]
    policies: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    which: Which,
    /// Write a line of JSON for each call to this file; `-`: to stdout, instead of the table
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// End with exit code 1 if anything would be decided otherwise, or could not be judged
    #[arg(long)]
    fail_on_diff: bool,
}

/// What came of a call.
#[derive(Serialize)]
struct Replayed {
    call_id: Uuid,
    started_at: String,
    model: String,
    /// Where the policies decide otherwise.
    differences: Vec<Difference>,
    /// How many questions to models have no answer on record: what depends on them was decided as if they had failed.
    unanswered: usize,
    /// The policies that somebody else serves. A replay asks nobody: their failure modes decided.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    not_asked: BTreeSet<String>,
    /// Whether the response on record ends where the policies of then ended it.
    is_cut: bool,
    /// Why it could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let set = Arc::new(policies(&args.policies)?);
    let runtime = Builder::new_current_thread().enable_all().build().context("can't start a thread")?;
    runtime.block_on(async {
        let mut report = Report::new(args.jsonl.as_deref())?;
        let mut calls = Calls::open(&args.config, &args.which).await?;
        while let Some(call) = calls.next().await? {
            report.progress(calls.share(&call));
            match judge(&set, &call) {
                Some(replayed) => report.add(&replayed)?,
                None => report.skip(),
            }
        }
        calls.close().await;
        let differs = report.finish()?;
        Ok(if differs && args.fail_on_diff { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// The section `control_plane`, as far as it is about policies.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Section {
    policies: Vec<luthien_policy::PolicyConfig>,
    pipeline: Vec<String>,
    bindings: Vec<luthien_policy::BindingConfig>,
}

fn policies(path: &PathBuf) -> anyhow::Result<PolicySet> {
    let document = Document::load(path)?;
    let (config, prefix) = match document.at::<Option<IgnoredAny>>("control_plane")? {
        Some(_) => {
            let Section { policies, pipeline, bindings } = document.at("control_plane")?;
            (PolicySetConfig { policies, pipeline, bindings }, "control_plane.")
        }
        None => (document.get::<PolicySetConfig>()?, ""),
    };
    PolicySet::build(config).map_err(|error| document.error_at(&format!("{prefix}{}", error.key), error.why).into())
}

/// None if no policy was asked about the call.
fn judge(set: &Arc<PolicySet>, call: &Value) -> Option<Replayed> {
    let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let mut replayed = Replayed {
        call_id: text("call_id").parse().unwrap_or_default(),
        started_at: text("started_at"),
        model: text("model"),
        differences: Vec::new(),
        unanswered: 0,
        not_asked: BTreeSet::new(),
        is_cut: false,
        error: None,
    };
    let recorded = Recorded::read(call).transpose()?;
    let judged = recorded.map_err(anyhow::Error::from).and_then(|recorded| {
        replayed.is_cut = recorded.is_cut;
        let mut replay = Replay::begin(set.clone(), &recorded);
        let decided = decide(&mut replay)?;
        replayed.differences = replay::differences(&recorded.decided, &decided);
        (replayed.unanswered, replayed.not_asked) = (replay.asked(), replay.not_asked().clone());
        Ok(())
    });
    replayed.error = judged.err().map(|error| format!("{error:#}"));
    Some(replayed)
}

/// What is decided where questions without an answer fail.
fn decide(replay: &mut Replay) -> anyhow::Result<replay::Decided> {
    loop {
        match replay.poll()? {
            Next::Done(decided) => return Ok(*decided),
            Next::Ask(consult) => replay.fail(&consult.id, "its answer is not on record")?,
        }
    }
}
