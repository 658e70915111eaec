//! A call, from the JSON of its record.

use luthien_proto::{
    message::{CallEnded, CallStarted, Outcome, Waited, capability},
    request::Dialect,
};
use serde_json::Value;

use super::{
    Decided, Recorded,
    answers::Answers,
    json::{Fields, Unreadable},
    request, response,
};

pub(super) fn call(json: &Value) -> Result<Option<Recorded>, Unreadable> {
    let call = Fields::of("call", json)?;
    let entries: Vec<Value> = call.list("entries", |entry| Ok(entry["body"].clone()))?;
    let of_type = |name: &str| entries.iter().find(|entry| entry["type"] == name);
    let Some(admission) = of_type("admission") else { return Ok(None) };
    let request = of_type("request").ok_or_else(|| Unreadable("a call without its request".to_owned()))?;
    let verdicts = entries.iter().filter(|entry| entry["type"] == "verdict");
    let is_ended = verdicts.filter_map(|verdict| verdict["decision"].as_str()).any(|it| it == "end" || it == "fail");
    let is_stopped = admission["decision"] == "reject" || admission["decision"] == "answer";
    Ok(Some(Recorded {
        started: started(&call, request)?,
        chunks: response::read(&entries)?,
        ended: of_type("outcome").map_or_else(|| Ok(CallEnded::unknown()), ended)?,
        answers: Answers::read(&entries)?,
        decided: Decided::of(&entries),
        is_cut: is_ended || is_stopped,
    }))
}

fn started(call: &Fields<'_>, entry: &Value) -> Result<CallStarted, Unreadable> {
    let entry = Fields::of("request", entry)?;
    let dialect =
        |name| entry.read(name, |value| Dialect::from_name(value.as_str()?))?.ok_or_else(|| entry.wrong(name));
    let id = call.read("call_id", |id| id.as_str()?.parse().ok())?.ok_or_else(|| call.wrong("call_id"))?;
    let time = call.read("started_at", |time| time.as_str()?.parse::<jiff::Timestamp>().ok())?;
    let body = entry.get("request").ok_or_else(|| entry.wrong("request"))?;
    let capabilities =
        [capability::ANSWER, capability::CONSULT, capability::EDITS, capability::INTEREST, capability::RESUME];
    Ok(CallStarted {
        call_id: id,
        started_at_us: time.map(jiff::Timestamp::as_microsecond).unwrap_or_default(),
        dialect: dialect("dialect")?,
        upstream_dialect: dialect("upstream_dialect")?,
        upstream: entry.text("upstream")?,
        route: entry.text("route")?,
        upstream_model: entry.text("upstream_model")?,
        client: entry.text("client")?,
        session: entry.text("session")?,
        dropped: entry.texts("dropped")?,
        omitted: entry.texts("omitted")?,
        capabilities: capabilities.map(str::to_owned).to_vec(),
        headers: Vec::new(),
        request: request::read(&entry.text("model")?, body)?,
    })
}

fn ended(outcome: &Value) -> Result<CallEnded, Unreadable> {
    let ended = Fields::of("outcome", outcome)?;
    let name = ended.text("outcome")?;
    let known = [Outcome::Delivered, Outcome::CutByClient, Outcome::EndedByPolicy, Outcome::Failed, Outcome::Unknown];
    Ok(CallEnded {
        outcome: known.into_iter().find(|known| known.name() == name).ok_or_else(|| ended.wrong("outcome"))?,
        written: ended.small("written")?,
        reason: ended.text("reason")?,
        status: ended.small("status")?,
        upstream_status: ended.small("upstream_status")?,
        upstream_first_us: ended.small("upstream_first_us")?,
        client_first_us: ended.small("client_first_us")?,
        ended_us: ended.small("ended_us")?,
        opened: None,
        waited: Waited::default(),
    })
}
