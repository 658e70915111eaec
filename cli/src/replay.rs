//! `luthien replay`: what would other policies have decided?

mod calls;
mod report;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use luthien_data_plane::Asker;
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
    /// Ask models again what policies want to know and the record has no answer to, by the section data_plane of the
    /// configuration: with its routes and api_keys, through no policy, on its bill
    #[arg(long)]
    ask: bool,
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
    /// How many questions models were asked anew.
    asked: usize,
    /// How many questions to models have no answer on record: what depends on them was decided as if they had failed.
    unanswered: usize,
    /// The policies that somebody else serves. A replay does not ask them: their failure modes decided.
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
        let asker = args.ask.then(|| asker(&args.config)).transpose()?;
        let mut report = Report::new(args.jsonl.as_deref())?;
        let mut calls = Calls::open(&args.config, &args.which).await?;
        while let Some(call) = calls.next().await? {
            report.progress(calls.share(&call));
            match judge(&set, &call, asker.as_ref()).await {
                Some(replayed) => report.add(&replayed)?,
                None => report.skip(),
            }
        }
        calls.close().await;
        let differs = report.finish()?;
        Ok(if differs && args.fail_on_diff { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

fn asker(config: &ConfigArgs) -> anyhow::Result<Asker> {
    Ok(Asker::new(luthien_data_plane::Config::load(&config.document()?)?)?)
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
async fn judge(set: &Arc<PolicySet>, call: &Value, asker: Option<&Asker>) -> Option<Replayed> {
    let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let mut replayed = Replayed {
        call_id: text("call_id").parse().unwrap_or_default(),
        started_at: text("started_at"),
        model: text("model"),
        differences: Vec::new(),
        asked: 0,
        unanswered: 0,
        not_asked: BTreeSet::new(),
        is_cut: false,
        error: None,
    };
    let judged = match Recorded::read(call).transpose()? {
        Ok(recorded) => decide(Replay::begin(set.clone(), &recorded), asker).await.map(|decided| (recorded, decided)),
        Err(error) => Err(error.into()),
    };
    match judged {
        Ok((recorded, Judgement { decided, asked, unanswered, not_asked })) => {
            replayed.differences = replay::differences(&recorded.decided, &decided);
            (replayed.asked, replayed.unanswered, replayed.is_cut) = (asked, unanswered, recorded.is_cut);
            replayed.not_asked = not_asked;
        }
        Err(error) => replayed.error = Some(format!("{error:#}")),
    }
    Some(replayed)
}

struct Judgement {
    decided: replay::Decided,
    asked: usize,
    unanswered: usize,
    not_asked: BTreeSet<String>,
}

/// What is decided; questions that nobody is to be asked fail.
async fn decide(mut replay: Replay, asker: Option<&Asker>) -> anyhow::Result<Judgement> {
    let (mut asked, mut unanswered) = (0, 0);
    loop {
        match (replay.poll()?, asker) {
            (Next::Done(decided), _) => {
                let not_asked = replay.not_asked().clone();
                return Ok(Judgement { decided: *decided, asked, unanswered, not_asked });
            }
            (Next::Ask(consult), None) => {
                unanswered += 1;
                replay.fail(&consult.id, "its answer is not on record")?;
            }
            (Next::Ask(consult), Some(asker)) => {
                asked += 1;
                let id = consult.id.clone();
                replay.answer(&id, asker.ask(*consult).await)?;
            }
        }
    }
}
