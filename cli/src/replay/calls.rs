//! The calls that are judged again: from the record, or from an export.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Lines, stdin},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use luthien_control_plane::{
    Config,
    record::{Cursor, FullCall, Query, Store},
};
use luthien_service::config::{ConfigArgs, HumanDuration};
use serde_json::{Value, json};
use uuid::Uuid;

/// Which calls.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Calls that began so long ago at most (7d, 36h), or after a time (2026-11-30T12:00:00Z)
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = time)]
    since: Timestamp,
    /// Calls that began earlier than that
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Calls of this model, as clients name it
    #[arg(long)]
    model: Option<String>,
    /// Calls of this client, by the name of its key
    #[arg(long)]
    client: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "CALLS")]
    limit: Option<usize>,
    /// Read calls from an export (JSONL, as of GET /api/export; `-`: stdin) instead of the configured record
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = text.parse::<HumanDuration>() {
        let ago = SignedDuration::try_from(ago.0).map_err(|error| error.to_string())?;
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| "a time (2026-11-30T12:00:00Z), or how long ago it was (7d, 36h), is needed".to_owned())
}

/// Calls, the newest first, each as the API shows it.
pub(super) struct Calls {
    source: Source,
    since: Timestamp,
    until: Timestamp,
    left: usize,
}

enum Source {
    Record { store: Arc<dyn Store>, query: Box<Query>, page: VecDeque<Uuid>, is_last: bool },
    Export { lines: Lines<Box<dyn BufRead>>, which: Filter },
}

/// What an export is not asked for.
struct Filter {
    model: Option<String>,
    client: Option<String>,
}

impl Calls {
    pub async fn open(config: &ConfigArgs, which: &Which) -> anyhow::Result<Self> {
        let Which { since, until, model, client, limit, from } = which;
        let source = match from {
            Some(path) => {
                let which = Filter { model: model.clone(), client: client.clone() };
                Source::Export { lines: export(path)?.lines(), which }
            }
            None => {
                let store = Config::load(&config.document()?)?
                    .database
                    .open_for_reading()
                    .await
                    .context("can't open the record")?;
                let query = Query {
                    model: model.clone(),
                    client: client.clone(),
                    since_us: Some(since.as_microsecond()),
                    until_us: until.map(Timestamp::as_microsecond),
                    ..Query::default()
                };
                Source::Record { store, query: Box::new(query), page: VecDeque::new(), is_last: false }
            }
        };
        let until = until.unwrap_or_else(Timestamp::now);
        Ok(Self { source, since: *since, until, left: limit.unwrap_or(usize::MAX) })
    }

    /// The next one.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match &mut self.source {
            Source::Export { lines, which } => next_line(lines, which, self.since, self.until),
            Source::Record { store, query, page, is_last } => loop {
                while let Some(id) = page.pop_front() {
                    // It may have been purged since.
                    if let Some(call) = store.call(id).await? {
                        return Ok(Some(shown(&call)));
                    }
                }
                if *is_last {
                    return Ok(None);
                }
                (*page, query.after) = next_page(store.as_ref(), query).await?;
                *is_last = query.after.is_none();
            },
        }
    }

    /// How much of the time that is asked for lies behind a call, from 0 to 1.
    pub fn share(&self, call: &Value) -> f64 {
        let began = call["started_at"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        let whole = seconds(self.since, self.until).max(1.0);
        began.map_or(0.0, |began| (seconds(began, self.until) / whole).clamp(0.0, 1.0))
    }

    pub async fn close(self) {
        if let Source::Record { store, .. } = self.source {
            store.close().await;
        }
    }
}

async fn next_page(store: &dyn Store, query: &Query) -> anyhow::Result<(VecDeque<Uuid>, Option<Cursor>)> {
    let page = store.calls(query).await.context("can't read the record")?;
    Ok((page.calls.iter().map(|call| call.call_id).collect(), page.next))
}

fn export(path: &PathBuf) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(stdin())));
    }
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn next_line(
    lines: &mut Lines<Box<dyn BufRead>>,
    which: &Filter,
    since: Timestamp,
    until: Timestamp,
) -> anyhow::Result<Option<Value>> {
    for line in lines {
        let call: Value = serde_json::from_str(&line?).context("a line of the export is no JSON")?;
        if let Some(error) = call["error"]["message"].as_str() {
            bail!("the export broke off: {error}");
        }
        let began = call["started_at"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let is_wanted = began.is_none_or(|began| since <= began && began < until)
            && which.model.as_ref().is_none_or(|model| call["model"] == **model)
            && which.client.as_ref().is_none_or(|client| call["client"] == **client);
        if is_wanted {
            return Ok(Some(call));
        }
    }
    Ok(None)
}

/// A call as the API shows it, as far as it is needed here.
fn shown(call: &FullCall) -> Value {
    let summary = &call.summary;
    let began = Timestamp::from_microsecond(summary.started_at_us).unwrap_or_default();
    let entries = call.entries_of(call.epoch()).iter();
    let entries: Vec<Value> = entries
        .map(|entry| json!({ "body": serde_json::from_str::<Value>(&entry.body).unwrap_or_default() }))
        .collect();
    json!({
        "call_id": summary.call_id, "started_at": began.to_string(), "model": summary.model, "client": summary.client,
        "entries": entries,
    })
}
