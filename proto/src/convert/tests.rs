//! Nothing is lost on the wire; what can't be read says which field is at fault; what is open is read as the strictest.

mod arbitrary;

use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::Malformed;
use crate::{
    event::{FinishReason, Finished, Kind, Step, ToolForm},
    message::{
        AdmissionDecision, CallReport, Decision, FailureMode, FromService, Level, Limits, Outcome, Reply, Severity,
        ToService,
    },
    wire,
};

fn read_request(message: &wire::EnforceRequest) -> Result<ToService, Malformed> {
    let bytes = message.encode_to_vec();
    wire::EnforceRequest::decode(bytes.as_slice()).unwrap().try_into()
}

fn read_response(message: &wire::EnforceResponse) -> Result<FromService, Malformed> {
    let bytes = message.encode_to_vec();
    wire::EnforceResponse::decode(bytes.as_slice()).unwrap().try_into()
}

proptest! {
    #[test]
    fn what_the_proxy_says_survives_the_wire(message in arbitrary::to_service()) {
        prop_assert_eq!(read_request(&message.clone().into()), Ok(message));
    }

    #[test]
    fn what_the_service_says_survives_the_wire(message in arbitrary::from_service()) {
        prop_assert_eq!(read_response(&message.clone().into()), Ok(message));
    }

    #[test]
    fn what_the_proxy_reports_survives_the_wire(report in arbitrary::call_report()) {
        prop_assert_eq!(CallReport::try_from(wire::CallReport::from(report.clone())), Ok(report));
    }

    #[test]
    fn damaged_bytes_are_read_or_refused_and_what_was_read_survives_the_wire(
        message in arbitrary::to_service(),
        reply in arbitrary::from_service(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            for (index, byte) in &damage {
                let at = index.index(bytes.len() + 1);
                if at == bytes.len() { bytes.push(*byte) } else { bytes[at] = *byte }
            }
            bytes
        };
        let bytes = damaged(wire::EnforceRequest::from(message).encode_to_vec());
        if let Some(read) = wire::EnforceRequest::decode(&*bytes).ok().and_then(|m| ToService::try_from(m).ok()) {
            prop_assert_eq!(read_request(&read.clone().into()), Ok(read));
        }
        let bytes = damaged(wire::EnforceResponse::from(reply).encode_to_vec());
        if let Some(read) = wire::EnforceResponse::decode(&*bytes).ok().and_then(|m| FromService::try_from(m).ok()) {
            prop_assert_eq!(read_response(&read.clone().into()), Ok(read));
        }
    }
}

#[test]
fn the_deepest_nesting_that_protobuf_and_json_allow_is_read() {
    let leaf = wire::content::Content::Opaque(wire::OpaqueContent { json: "[".repeat(127) + &"]".repeat(127) });
    let deeper = |inner, _| {
        let content = vec![wire::Content { content: Some(inner), ..Default::default() }];
        wire::content::Content::ToolResult(wire::ToolResult { content, ..Default::default() })
    };
    let deepest = (0..46).fold(leaf, deeper);
    assert!(matches!(read_request(&with_content(Some(deepest))), Ok(ToService::CallStarted(_))));
}

fn request(message: wire::enforce_request::Message) -> wire::EnforceRequest {
    wire::EnforceRequest { message: Some(message) }
}

fn started() -> wire::CallStarted {
    wire::CallStarted {
        call_id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        dialect: wire::Dialect::OpenaiChat.into(),
        upstream_dialect: wire::Dialect::OpenaiChat.into(),
        request: Some(wire::Request { sampling: Some(wire::Sampling::default()), ..Default::default() }),
        ..Default::default()
    }
}

fn with_request(change: impl FnOnce(&mut wire::Request)) -> wire::EnforceRequest {
    let mut started = started();
    change(started.request.as_mut().unwrap());
    request(wire::enforce_request::Message::CallStarted(started))
}

fn with_started(change: impl FnOnce(&mut wire::CallStarted)) -> wire::EnforceRequest {
    let mut started = started();
    change(&mut started);
    request(wire::enforce_request::Message::CallStarted(started))
}

fn with_content(content: Option<wire::content::Content>) -> wire::EnforceRequest {
    let content = wire::Content { content, extras_json: String::new() };
    let message = wire::Message { role: "user".into(), content: vec![content], ..Default::default() };
    with_request(|request| request.messages = vec![wire::Message::default(), message])
}

fn with_chunks(chunks: impl IntoIterator<Item = (u64, Option<wire::Event>)>) -> wire::EnforceRequest {
    let chunk = |(seq, event)| wire::Chunk { seq, arrived_us: 0, event };
    let chunks = chunks.into_iter().map(chunk).collect();
    request(wire::enforce_request::Message::Chunks(wire::Chunks { chunks }))
}

fn event(event: wire::event::Event) -> Option<wire::Event> {
    Some(wire::Event { event: Some(event), extras_json: String::new() })
}

fn with_event(it: wire::event::Event) -> wire::EnforceRequest {
    with_chunks([(1, event(it))])
}

fn with_block(change: impl FnOnce(&mut wire::Block)) -> wire::EnforceRequest {
    let kind = Some(wire::block_started::Kind::Text(wire::Text {}));
    let started = Some(wire::BlockStarted { kind, ..Default::default() });
    let mut block = wire::Block { first: 1, last: 2, started, ..Default::default() };
    change(&mut block);
    request(wire::enforce_request::Message::Block(block))
}

#[test]
fn a_malformed_message_of_the_proxy_is_refused_with_its_field_and_reason() {
    use wire::{content::Content, event::Event};
    let delta = |delta| with_event(Event::BlockDelta(wire::BlockDelta { block: 0, delta }));
    let opaque = |json: &str| with_event(Event::Opaque(wire::Opaque { json: json.into() }));
    let extras = |json: &str| {
        with_chunks([(
            1,
            Some(wire::Event { event: event(Event::Ended(wire::Ended {})).unwrap().event, extras_json: json.into() }),
        )])
    };
    use wire::tool_choice::Choice as Wire;
    let nested = wire::ToolResult { content: vec![wire::Content::default()], ..Default::default() };
    let error = |status| wire::Failed { error: Some(wire::CallError { status, ..Default::default() }) };
    let cases = [
        (wire::EnforceRequest { message: None }, "message: not set"),
        (with_started(|s| s.call_id = "7".into()), "call_started.call_id: not a UUID"),
        (with_started(|s| s.dialect = 0), "call_started.dialect: not set"),
        (with_started(|s| s.upstream_dialect = 9), "call_started.upstream_dialect: no dialect has the number 9"),
        (with_started(|s| s.request = None), "call_started.request: not set"),
        (
            with_request(|r| r.sampling.as_mut().unwrap().top_p = Some(f64::NAN)),
            "call_started.request.sampling.top_p: not a finite number",
        ),
        (
            with_request(|r| {
                r.tool_choice = Some(wire::ToolChoice { choice: Some(Wire::OpaqueJson("{\"a\":1,".into())) });
            }),
            "call_started.request.tool_choice.opaque_json: not JSON: EOF while parsing a value at line 1 column 7",
        ),
        (with_request(|r| r.tools = vec![wire::Tool::default()]), "call_started.request.tools[0].kind: not set"),
        (
            with_request(|r| r.system = vec![wire::Content::default()]),
            "call_started.request.system[0].content: not set",
        ),
        (with_content(None), "call_started.request.messages[1].content[0].content: not set"),
        (
            with_content(Some(Content::ToolCall(wire::ToolCallContent::default()))),
            "call_started.request.messages[1].content[0].tool_call.call: not set",
        ),
        (
            with_content(Some(Content::ToolResult(nested))),
            "call_started.request.messages[1].content[0].tool_result.content[0].content: not set",
        ),
        (with_chunks([]), "chunks.chunks: empty"),
        (with_chunks([(0, None)]), "chunks.chunks[0].seq: seqs begin at 1"),
        (with_chunks([(1, None)]), "chunks.chunks[0].event: not set"),
        (with_chunks([(1, Some(wire::Event::default()))]), "chunks.chunks[0].event.event: not set"),
        (
            with_chunks([4, 5, 5].map(|seq| (seq, event(Event::Ended(wire::Ended {}))))),
            "chunks.chunks[2].seq: seqs have to rise",
        ),
        (
            with_event(Event::BlockStarted(wire::BlockStarted::default())),
            "chunks.chunks[0].event.block_started.kind: not set",
        ),
        (delta(None), "chunks.chunks[0].event.block_delta.delta: not set"),
        (
            delta(Some(wire::block_delta::Delta::OpaqueJson(String::new()))),
            "chunks.chunks[0].event.block_delta.opaque_json: not set",
        ),
        (
            opaque("{\"a\":{\"secret\":1,\n\"secret\":2}}"),
            "chunks.chunks[0].event.opaque.json: not JSON: a key is named twice in one object at line 2 column 8",
        ),
        (opaque("1 2"), "chunks.chunks[0].event.opaque.json: not JSON: trailing characters at line 1 column 3"),
        (extras("[]"), "chunks.chunks[0].event.extras_json: expected a JSON object, found an array"),
        (with_event(Event::Failed(wire::Failed { error: None })), "chunks.chunks[0].event.failed.error: not set"),
        (
            with_event(Event::Failed(error(65_536))),
            "chunks.chunks[0].event.failed.error.status: 65536 is no HTTP status",
        ),
        (with_block(|b| b.first = 0), "block.first: seqs begin at 1"),
        (with_block(|b| b.first = 3), "block.last: before the first"),
        (with_block(|b| b.started = None), "block.started: not set"),
        (with_block(|b| b.deltas = vec![wire::Delta::default()]), "block.deltas[0].delta: not set"),
        (
            request(wire::enforce_request::Message::CallEnded(wire::CallEnded {
                status: 70_000,
                ..Default::default()
            })),
            "call_ended.status: 70000 is no HTTP status",
        ),
        (
            request(wire::enforce_request::Message::CallEnded(wire::CallEnded {
                opened: Some(wire::Opened { first: 3, last: 2, ..Default::default() }),
                ..Default::default()
            })),
            "call_ended.opened.last: before the first",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(read_request(&message).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_report_that_lacks_what_it_tells_of_is_malformed() {
    let report = wire::CallReport { epoch: 1, ..Default::default() };
    let cases = [
        (wire::CallReport::default(), "epoch: a call that is reported had a stream before"),
        (report, "call_started: not set"),
    ];
    for (report, expected) in cases {
        assert_eq!(CallReport::try_from(report).unwrap_err().to_string(), expected);
    }
}

fn response(message: wire::enforce_response::Message) -> wire::EnforceResponse {
    wire::EnforceResponse { message: Some(message), seen: 1 }
}

fn admission(decision: Option<wire::admission::Decision>) -> wire::EnforceResponse {
    response(wire::enforce_response::Message::Admission(wire::Admission { decision, ..Default::default() }))
}

fn reject(status: u32) -> wire::EnforceResponse {
    admission(Some(wire::admission::Decision::Reject(wire::Reject { status, ..Default::default() })))
}

fn answer(events: impl IntoIterator<Item = wire::event::Event>) -> wire::EnforceResponse {
    let events = events.into_iter().filter_map(event).collect();
    admission(Some(wire::admission::Decision::Answer(wire::Answer { events })))
}

fn forward(forward: wire::Forward) -> wire::EnforceResponse {
    let limits = Some(wire::Limits::default());
    admission(Some(wire::admission::Decision::Forward(wire::Forward { limits, ..forward })))
}

fn verdict(verdict: wire::Verdict) -> wire::EnforceResponse {
    response(wire::enforce_response::Message::Verdict(verdict))
}

#[test]
fn a_malformed_message_of_the_service_is_refused_with_its_field_and_reason() {
    use wire::verdict::Decision;
    let decided = |decision| verdict(wire::Verdict { decision: Some(decision), ..Default::default() });
    let events = vec![
        wire::Event { event: Some(wire::event::Event::Ended(wire::Ended {})), ..Default::default() },
        wire::Event::default(),
    ];
    let started = || wire::event::Event::Started(wire::Started::default());
    let ended = || wire::event::Event::Ended(wire::Ended {});
    let finished = wire::event::Event::Finished(wire::Finished::default());
    let failed = wire::event::Event::Failed(wire::Failed { error: Some(wire::CallError::default()) });
    let noted = |details_json: &str| {
        let annotation = wire::Annotation { details_json: details_json.into(), ..Default::default() };
        let decision = Some(Decision::Pass(wire::Pass {}));
        verdict(wire::Verdict { decision, annotations: vec![annotation], ..Default::default() })
    };
    let cases = [
        (wire::EnforceResponse::default(), "message: not set"),
        (admission(None), "admission.decision: not set"),
        (reject(200), "admission.reject.status: 200 is not between 400 and 599"),
        (reject(600), "admission.reject.status: 600 is not between 400 and 599"),
        (reject(65_536 + 403), "admission.reject.status: 65939 is not between 400 and 599"),
        (answer([]), "admission.answer.events: the last event, and no other, has to be Ended"),
        (answer([started()]), "admission.answer.events: the last event, and no other, has to be Ended"),
        (answer([ended(), ended()]), "admission.answer.events: the last event, and no other, has to be Ended"),
        (answer([ended(), started()]), "admission.answer.events: the last event, and no other, has to be Ended"),
        (
            answer([started(), failed]),
            "admission.answer.events: an answer does not fail: a call is rejected with an error",
        ),
        (answer([finished, started(), ended()]), "admission.answer.events: only the first event can be Started"),
        (
            answer([wire::event::Event::BlockDelta(wire::BlockDelta::default())]),
            "admission.answer.events[0].block_delta.delta: not set",
        ),
        (verdict(wire::Verdict::default()), "verdict.decision: not set"),
        (
            decided(Decision::Replace(wire::Replace { events: events.clone() })),
            "verdict.replace.events[1].event: not set",
        ),
        (decided(Decision::End(wire::End { events, reason: 0 })), "verdict.end.events[1].event: not set"),
        (noted("\"x\""), "verdict.annotations[0].details_json: expected a JSON object, found a string"),
        (noted("{"), "verdict.annotations[0].details_json: not JSON: EOF while parsing an object at line 1 column 1"),
    ];
    for (message, expected) in cases {
        assert_eq!(read_response(&message).unwrap_err().to_string(), expected);
    }
}

fn read_forward(it: wire::Forward) -> crate::message::Forward {
    match read_response(&forward(it)).unwrap().message {
        Reply::Admission(crate::message::Admission { decision: AdmissionDecision::Forward(forward), .. }) => forward,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_interest_that_is_unset_unspecified_or_unknown_is_to_gate() {
    assert!(Kind::ALL.iter().all(|&kind| read_forward(wire::Forward::default()).interest.of(kind) == Level::Gate));
    let levels = wire::Interest { text: 0, thinking: 99, refusal: -1, tool_call: 1, opaque: 2 };
    let interest = read_forward(wire::Forward { interest: Some(levels), ..Default::default() }).interest;
    let read = Kind::ALL.map(|kind| interest.of(kind));
    assert_eq!(read, [Level::Gate, Level::Gate, Level::Gate, Level::Record, Level::Observe]);
}

#[test]
fn a_failure_mode_that_is_not_known_is_closed_and_kinds_that_are_not_known_are_left_out() {
    for failure_mode in [0, 3, -1] {
        let read = read_forward(wire::Forward { failure_mode, known_kinds: vec![0, 4, 77, 1], ..Default::default() });
        assert_eq!(read.failure_mode, FailureMode::Closed);
        assert_eq!(read.known_kinds, [Kind::ToolCall, Kind::Text]);
        assert_eq!(read.limits, Limits { hold_ms: None, held_bytes: None });
    }
}

#[test]
fn a_reject_without_a_status_is_403() {
    let read = read_response(&reject(0)).unwrap().message;
    assert!(matches!(
        read,
        Reply::Admission(crate::message::Admission { decision: AdmissionDecision::Reject(reject), .. }) if reject.status == 403
    ));
}

#[test]
fn what_only_a_later_version_can_decide_is_as_if_nothing_were_decided() {
    // Field 15, of which nobody knows yet: a message of two bytes.
    let admission = [vec![0x7A, 0x02, 0x08, 0x01], vec![0x1A, 0x01, b'r']].concat();
    let mut response = vec![0x0A, u8::try_from(admission.len()).unwrap()];
    response.extend(admission);
    let read = wire::EnforceResponse::decode(response.as_slice()).unwrap();
    assert_eq!(FromService::try_from(read).unwrap_err().to_string(), "admission.decision: not set");
}

#[test]
fn a_request_without_a_number_of_choices_asks_for_one() {
    match read_request(&with_request(|request| request.choices = 0)) {
        Ok(ToService::CallStarted(started)) => assert_eq!(started.request.choices, 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_outcome_severity_or_tool_form_that_is_not_known_is_read_as_the_strictest() {
    for number in [0, 99, -1] {
        assert_eq!(
            Outcome::from(wire::CallEnded { outcome: number, ..Default::default() }.outcome()),
            Outcome::Unknown
        );
        assert_eq!(
            Severity::from(wire::Annotation { severity: number, ..Default::default() }.severity()),
            Severity::Error
        );
        let call = wire::ToolCall { form: number, ..Default::default() };
        assert_eq!(crate::event::ToolCall::from(call).form, ToolForm::Server);
    }
}

#[test]
fn a_finish_reason_that_is_not_known_is_other_and_an_end_may_leave_it_open() {
    let finished =
        |reason| match Step::try_from(wire::event::Event::Finished(wire::Finished { reason, ..Default::default() })) {
            Ok(Step::Finished(Finished { reason, .. })) => reason,
            other => panic!("{other:?}"),
        };
    let end = |reason| match Decision::try_from(wire::verdict::Decision::End(wire::End { events: vec![], reason })) {
        Ok(Decision::End { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 99, 8].map(finished), [FinishReason::Other, FinishReason::Other, FinishReason::Pause]);
    assert_eq!([0, 99, 8].map(end), [None, Some(FinishReason::Other), Some(FinishReason::Pause)]);
}
