//! Events as viewers get them.

use axum::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::time,
    record::{Happening, Place, activity::What},
};

/// The `data` of an SSE event.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ActivityEvent)]
pub(in crate::admin) enum ActivityView<'h> {
    /// Something happened in a call.
    Happened(HappenedView<'h>),
    /// Some events are missing here.
    Gap(GapView),
}

/// Something happened in a call. The event's name is the `type`, its id the place to go on from.
#[derive(Serialize, ToSchema)]
#[schema(as = Happened)]
pub(in crate::admin) struct HappenedView<'h> {
    call_id: Uuid,
    /// Which of its streams: a call that is taken over is told again, with another epoch.
    epoch: u32,
    /// The entry of the record that tells all of it; `null`: none does.
    seq: Option<u64>,
    /// RFC 3339, by the proxy's clock.
    at: String,
    /// The session; without a marker from the client, the call itself.
    session: &'h str,
    /// The model as the client named it.
    model: &'h str,
    /// Whose key it was.
    client: Option<&'h str>,
    #[serde(flatten)]
    what: &'h What,
}

/// Some events are missing here.
#[derive(Serialize, ToSchema)]
#[schema(as = Gap)]
pub(in crate::admin) struct GapView {
    /// `gap`.
    #[serde(rename = "type")]
    type_: &'static str,
    /// `slow`: the viewer did not read fast enough; `forgotten`: what was behind the id is not kept any more.
    reason: Missing,
}

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// The viewer did not read fast enough.
    Slow,
    /// What was behind the id is not kept any more.
    Forgotten,
}

/// Of what happened, as it goes over the wire.
pub(super) fn frame(happening: &Happening) -> Bytes {
    let Happening { place, call, epoch, seq, at_us, what } = happening;
    let view = HappenedView {
        call_id: call.call_id,
        epoch: *epoch,
        seq: *seq,
        at: time(*at_us),
        session: &call.session,
        model: &call.model,
        client: call.client.as_deref(),
        what,
    };
    event(what.name(), *place, &ActivityView::Happened(view))
}

/// Of what can't be told.
pub(super) fn gap(place: Place, reason: Missing) -> Bytes {
    event("gap", place, &ActivityView::Gap(GapView { type_: "gap", reason }))
}

fn event(name: &str, place: Place, data: &ActivityView<'_>) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", place.to_text()).into()
}
