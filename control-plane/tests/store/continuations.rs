//! What becomes of a call that goes on from a response which the provider remembers.

use std::sync::Arc;

use luthien_control_plane::{
    continuation::{Continuations, Withheld},
    record::{Sqlite, Summary},
};
use luthien_policy::{Before, BlockEntry, ContentEntry, Deltas, EntryBody, OutcomeEntry, StepEntry};
use luthien_proto::{
    json::Extras,
    message::{Admission, AdmissionDecision, CallStarted, Edit, FailureMode, Forward, Interest, Level, Limits},
    request::{Content, ContentBlock, Dialect, Message, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    conformance::{id, open},
    faults::Flaky,
};

/// A control plane's memory and record.
struct Plane {
    store: Arc<Flaky>,
    continuations: Continuations,
}

impl Plane {
    async fn new(folder: &TempDir) -> Self {
        let store = Arc::new(Flaky::new(Sqlite::open(&folder.path().join("luthien.db")).await.unwrap()));
        let (continuations, lookups) = Continuations::new(Arc::<Flaky>::clone(&store));
        tokio::spawn(lookups.run());
        Self { store, continuations }
    }

    async fn before(&self, started: &CallStarted) -> Before {
        self.continuations.before(started, None).await
    }
}

fn started(n: u128, extras: &[(&str, Value)]) -> CallStarted {
    let mut request = Request { model: "m".into(), choices: 1, ..Request::default() };
    extras.iter().for_each(|(name, value)| request.extras.insert(*name, value.clone()));
    CallStarted {
        call_id: id(n),
        started_at_us: 0,
        dialect: Dialect::OpenAiResponses,
        upstream_dialect: Dialect::OpenAiResponses,
        upstream: "openai".into(),
        route: "*".into(),
        upstream_model: "m".into(),
        client: "ci".into(),
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        request,
    }
}

fn continues(n: u128, response: &str) -> CallStarted {
    started(n, &[("previous_response_id", json!(response))])
}

fn response(id: &str) -> EntryBody {
    let original = Some(json!({"id": id, "model": "m"}));
    EntryBody::Step(StepEntry { seq: 1, step: "started", unchanged: true, original, settled: None })
}

/// A call of a tool, which the client got or not.
fn tool_call(id: &str, form: &'static str, type_: Option<&str>, got: bool) -> EntryBody {
    let content =
        ContentEntry { id: Some(id.into()), form: Some(form), type_: type_.map(Into::into), ..ContentEntry::default() };
    let settled = got.then(|| content.clone());
    block("tool_call", Some(content), settled)
}

fn block(kind: &'static str, original: Option<ContentEntry>, settled: Option<ContentEntry>) -> EntryBody {
    EntryBody::Block(Box::new(BlockEntry {
        choice: 0,
        block: 0,
        kind,
        tool: None,
        first: 2,
        last: 4,
        arrived_us: 0,
        stopped: true,
        unchanged: original == settled,
        original,
        settled,
        deltas: Deltas::default(),
    }))
}

fn outcome() -> EntryBody {
    EntryBody::Outcome(OutcomeEntry {
        outcome: "delivered",
        reason: String::new(),
        fault: None,
        opened: None,
        waited: None,
        status: 200,
        upstream_status: 200,
        written: 9,
        upstream_first_us: 0,
        client_first_us: 0,
        ended_us: 1,
        usage: None,
        received: 9,
        passed: 9,
        replaced: 0,
        dropped: 0,
        held: 0,
        not_shown: 0,
        annotations: Vec::new(),
    })
}

/// What is known of a call at a glance, after these entries.
fn summary(started: &CallStarted, entries: &[EntryBody]) -> Summary {
    let mut summary = Summary::new(started);
    entries.iter().for_each(|entry| summary.note(entry));
    summary
}

/// The same of a call that is over, and gave the response with that id.
fn over(started: &CallStarted, id: &str, blocks: Vec<EntryBody>) -> Summary {
    let mut entries = vec![response(id)];
    entries.extend(blocks);
    entries.push(outcome());
    summary(started, &entries)
}

fn inserted(before: &Before) -> Vec<Message> {
    assert_eq!((&before.reject, &before.reject_if_gated), (&None, &None));
    let message = |edit: &Edit| match edit {
        Edit::InsertMessage(0, message) => message.clone(),
        other => panic!("{other:?}"),
    };
    before.edits.iter().map(message).collect()
}

fn answered_ids(before: &Before) -> Vec<String> {
    let id = |message: Message| match &message.content[0].block {
        ContentBlock::ToolResult { id, .. } => id.clone(),
        ContentBlock::Opaque(item) => item.get("call_id").unwrap_or(&item["id"]).as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    inserted(before).into_iter().map(id).collect()
}

#[tokio::test]
async fn calls_that_a_client_never_got_are_answered_where_it_goes_on() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let first = started(1, &[]);
    let blocks = vec![
        tool_call("a", "function", None, false),
        tool_call("b", "function", None, true),
        tool_call("c", "custom", None, false),
        tool_call("d", "server", None, false),
        tool_call("e", "function", Some("shell_call"), false),
        tool_call("f", "function", Some("apply_patch_call"), false),
        tool_call("g", "function", Some("local_shell_call"), false),
        // The provider ran this one itself.
        tool_call("h", "function", Some("shell_call"), false),
        block("opaque", Some(content(json!({"type": "shell_call_output", "call_id": "h"}))), None),
        // A policy wrote this one anew.
        tool_call("i", "function", None, false),
        block("tool_call", None, Some(ContentEntry { id: Some("i".into()), ..ContentEntry::default() })),
    ];
    plane.continuations.remember(&over(&first, "resp_1", blocks));

    let before = plane.before(&continues(2, "resp_1")).await;
    assert_eq!(answered_ids(&before), ["a", "c", "e", "f", "g"]);
    let messages = inserted(&before);
    assert_eq!((messages[0].role.as_str(), messages[0].content[0].extras.is_empty()), ("tool", true));
    assert_eq!(messages[1].content[0].extras.get("type"), Some(&json!("custom_tool_call_output")));
}

fn content(json: Value) -> ContentEntry {
    ContentEntry { json: Some(json), ..ContentEntry::default() }
}

#[tokio::test]
async fn what_the_client_answers_itself_is_left_to_it() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let calls = ["a", "b", "c"].map(|id| tool_call(id, "function", None, false)).into();
    plane.continuations.remember(&over(&started(1, &[]), "resp_1", calls));

    let mut next = continues(2, "resp_1");
    let message = |block| Message { role: "tool".into(), content: vec![Content::from(block)], extras: Extras::NONE };
    next.request.messages = vec![
        message(ContentBlock::ToolResult { id: "b".into(), is_error: None, content: Vec::new() }),
        message(ContentBlock::Opaque(json!({"type": "computer_call_output", "call_id": "c"}))),
    ];
    assert_eq!(answered_ids(&plane.before(&next).await), ["a"]);
}

#[tokio::test]
async fn a_response_that_nobody_changed_is_gone_on_from_untouched() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    plane.continuations.remember(&over(&started(1, &[]), "resp_1", vec![tool_call("a", "function", None, true)]));
    assert_eq!(plane.before(&continues(2, "resp_1")).await, Before::default());
    assert_eq!(plane.before(&started(3, &[])).await, Before::default());
}

#[tokio::test]
async fn another_control_plane_and_the_next_process_know_it_from_the_record() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (Plane::new(&folder).await, Plane::new(&folder).await);
    let over = over(&started(1, &[]), "resp_1", vec![tool_call("a", "function", None, false)]);
    open(&*one.store, &[over]).await;
    for plane in [&one, &two, &Plane::new(&folder).await] {
        assert_eq!(answered_ids(&plane.before(&continues(2, "resp_1")).await), ["a"]);
    }
}

#[tokio::test]
async fn a_response_that_is_not_on_record_is_refused_where_anything_is_gated() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let over = |n, client: &str| {
        let started = CallStarted { client: client.into(), ..started(n, &[]) };
        over(&started, &format!("resp_{n}"), Vec::new())
    };
    plane.continuations.remember(&over(1, "somebody else"));
    open(&*plane.store, &[over(2, "")]).await;
    for response in ["resp_1", "resp_2", "resp_3"] {
        let before = plane.before(&continues(9, response)).await;
        assert_eq!((&before.edits[..], &before.reject), (&[][..], &None));
        assert_eq!(before.reject_if_gated.unwrap().status, 400, "{response}");
    }
}

#[tokio::test]
async fn a_response_whose_record_comes_late_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let over = over(&started(1, &[]), "resp_1", vec![tool_call("a", "function", None, false)]);
    let next = continues(2, "resp_1");
    let (before, ()) = tokio::join!(plane.before(&next), async {
        tokio::task::yield_now().await;
        open(&*plane.store, &[over]).await;
    });
    assert_eq!(answered_ids(&before), ["a"]);
}

#[tokio::test]
async fn what_can_not_be_looked_up_goes_nowhere() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    plane.store.fail(true);
    for started in [continues(1, "resp_1"), started(2, &[("conversation", json!("conv_1"))])] {
        assert_eq!(plane.before(&started).await.reject.unwrap().status, 503);
    }
}

#[tokio::test]
async fn a_conversation_that_a_policy_changed_is_at_its_end() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let conversation = |n, id: &str| started(n, &[("conversation", json!({"id": id}))]);
    let unchanged = over(&conversation(1, "conv_1"), "resp_1", vec![tool_call("a", "function", None, true)]);
    let changed = over(&conversation(2, "conv_2"), "resp_2", vec![tool_call("a", "function", None, false)]);
    let running = summary(&conversation(3, "conv_3"), &[response("resp_3")]);
    open(&*plane.store, &[unchanged, changed, running]).await;

    // A call is not in its own way.
    assert_eq!(plane.before(&conversation(3, "conv_3")).await, Before::default());
    assert_eq!(plane.before(&conversation(9, "conv_0")).await, Before::default());
    assert_eq!(plane.before(&conversation(9, "conv_1")).await, Before::default());
    assert_eq!(plane.before(&conversation(9, "conv_2")).await.reject.unwrap().status, 400);
    assert_eq!(plane.before(&conversation(9, "conv_3")).await.reject_if_gated.unwrap().status, 400);
}

#[tokio::test]
async fn a_conversations_last_call_is_known_before_it_is_on_record() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let conversation = |n| started(n, &[("conversation", json!("conv_1"))]);
    let end = |n, got| over(&conversation(n), "resp", vec![tool_call("a", "function", None, got)]);
    assert_eq!(plane.before(&conversation(1)).await, Before::default());
    let second = conversation(2);
    let (before, ()) = tokio::join!(plane.before(&second), async {
        tokio::task::yield_now().await;
        plane.continuations.remember(&end(1, true));
    });
    assert_eq!(before, Before::default());
    plane.continuations.remember(&end(2, false));
    assert_eq!(plane.before(&conversation(3)).await.reject.unwrap().status, 400);
}

#[tokio::test]
async fn null_is_nothing_to_go_on_from() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let null = started(1, &[("previous_response_id", json!(null)), ("conversation", json!(null))]);
    assert_eq!(plane.before(&null).await, Before::default());
}

#[tokio::test]
async fn what_is_not_understood_is_refused_where_anything_is_gated() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let cases = [
        vec![("previous_response_id", json!(1))],
        vec![("conversation", json!({}))],
        vec![("conversation", json!("c".repeat(1 << 20)))],
        vec![("conversation", json!("conv_1")), ("previous_response_id", json!("resp_1"))],
    ];
    for extras in cases {
        assert_eq!(plane.before(&started(1, &extras)).await.reject_if_gated.unwrap().status, 400, "{extras:?}");
    }
}

#[tokio::test]
async fn a_call_that_only_its_client_can_answer_ends_the_conversation() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let calls = vec![tool_call("a", "function", Some("computer_call"), false)];
    plane.continuations.remember(&over(&started(1, &[]), "resp_1", calls));
    let reject = plane.before(&continues(2, "resp_1")).await.reject.unwrap();
    assert!(reject.status == 400 && reject.message.contains("computer_call"), "{reject:?}");
}

#[tokio::test]
async fn a_thread_of_anthropic_is_answered_in_its_words() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let thread = |n, thread: Value| CallStarted {
        dialect: Dialect::AnthropicMessages,
        upstream_dialect: Dialect::AnthropicMessages,
        ..started(n, &[("thread", thread)])
    };
    let first = thread(1, json!({"type": "create"}));
    assert_eq!(plane.before(&first).await, Before::default());
    plane.continuations.remember(&over(&first, "msg_1", vec![tool_call("a", "function", None, false)]));

    let before = plane.before(&thread(2, json!({"type": "continue", "previous_message_id": "msg_1"}))).await;
    let message = &inserted(&before)[0];
    assert_eq!(message.role, "user");
    assert!(
        matches!(&message.content[0].block, ContentBlock::ToolResult { id, is_error: Some(true), .. } if id == "a")
    );
    let unknown = plane.before(&thread(3, json!({"type": "fork"}))).await;
    assert_eq!(unknown.reject_if_gated.unwrap().status, 400);
}

#[tokio::test]
async fn what_a_provider_does_not_keep_is_not_remembered() {
    let mut first = started(1, &[]);
    first.request.service.store = Some(false);
    let other = CallStarted { upstream_dialect: Dialect::OpenAiChat, ..started(2, &[]) };
    let chat = CallStarted { dialect: Dialect::OpenAiChat, upstream_dialect: Dialect::OpenAiChat, ..started(3, &[]) };
    for started in [first, other, chat] {
        let calls = vec![tool_call("a", "function", None, false)];
        let answered = over(&started, "resp_1", calls).answered;
        assert_eq!((answered.response_id, answered.withheld), (None, Vec::<Withheld>::new()));
    }
}

#[tokio::test]
async fn a_call_that_is_taken_over_has_the_edits_that_it_began_with() {
    let folder = TempDir::new().unwrap();
    let plane = Plane::new(&folder).await;
    let calls = vec![tool_call("a", "function", None, false), tool_call("e", "function", Some("shell_call"), false)];
    plane.continuations.remember(&over(&started(1, &[]), "resp_1", calls));
    let ours = plane.before(&continues(2, "resp_1")).await.edits;
    let message = Message { role: "user".into(), content: Vec::new(), extras: Extras::NONE };
    let policys = [Edit::System(Vec::new()), Edit::InsertMessage(0, message)];
    let forward = Forward {
        interest: Interest::all(Level::Gate),
        failure_mode: FailureMode::Closed,
        limits: Limits::default(),
        known_kinds: Vec::new(),
        edits: ours.iter().cloned().chain(policys).collect(),
    };
    let decision = AdmissionDecision::Forward(forward);
    let admission = Admission { decision, revision: String::new(), pipeline: Vec::new(), capabilities: Vec::new() };
    let again = plane.continuations.before(&continues(2, "resp_1"), Some(&admission)).await;
    assert_eq!(again, Before::from(ours));
}
