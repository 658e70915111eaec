//! Requests that policies edit.

use luthien_policy::{Before, Hook, Hooks, Session};
use luthien_proto::{
    Request,
    json::Extras,
    message::{AdmissionDecision, CallResumed, CallStarted, Edit, Reject},
    request::{ContentBlock, Dialect, Message, Sampling},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, call},
    scripted::{OnRequest, Scripted, pass, scripted, set_of},
};

fn message(text: &str) -> Message {
    let content = vec![ContentBlock::Text(text.to_owned()).into()];
    Message { role: "user".to_owned(), content, extras: Extras::NONE }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    fn text(message: &Message) -> &str {
        match &message.content[0].block {
            ContentBlock::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }
    messages.iter().map(text).collect()
}

fn started(messages: &[&str]) -> CallStarted {
    let mut started = call(Dialect::OpenAiChat);
    started.request.messages = messages.iter().map(|text| message(text)).collect();
    started
}

fn editor(name: &'static str, on_request: OnRequest) -> Scripted {
    Scripted { hooks: Hooks::of(&[Hook::Request]), on_request, ..scripted(name, pass) }
}

/// What a proxy makes of edits, by the words of the protocol.
fn applied(mut request: Request, edits: &[Edit]) -> Request {
    let mut messages: Vec<(Vec<Message>, Option<Message>)> =
        std::mem::take(&mut request.messages).into_iter().map(|message| (Vec::new(), Some(message))).collect();
    messages.push((Vec::new(), None));
    let mut edited = Vec::new();
    for edit in edits {
        match edit.clone() {
            Edit::InsertMessage(at, message) => messages[at as usize].0.push(message),
            Edit::ReplaceMessage(at, message) => {
                edited.push(at);
                messages[at as usize].1 = Some(message);
            }
            Edit::DropMessage(at) => {
                edited.push(at);
                messages[at as usize].1 = None;
            }
            Edit::System(system) => request.system = system,
            Edit::Tools(tools) => request.tools = tools,
            Edit::Sampling(sampling) => request.sampling = sampling,
            Edit::Field(name, Some(json)) => request.extras.insert(name, json),
            Edit::Field(name, None) => {
                let mut fields = std::mem::take(&mut request.extras).into_map();
                fields.remove(&name);
                request.extras = fields.into();
            }
        }
    }
    let count = edited.len();
    edited.sort_unstable();
    edited.dedup();
    assert_eq!(edited.len(), count, "two edits of one message: {edits:?}");
    request.messages = messages.into_iter().flat_map(|(before, message)| before.into_iter().chain(message)).collect();
    request
}

fn edits(proxy: &Proxy) -> &[Edit] {
    match &proxy.admission.decision {
        AdmissionDecision::Forward(forward) => &forward.edits,
        other @ (AdmissionDecision::Reject(_) | AdmissionDecision::Answer(_)) => panic!("{other:?}"),
    }
}

fn rejection(proxy: &Proxy) -> (u16, &str) {
    match &proxy.admission.decision {
        other @ (AdmissionDecision::Forward(_) | AdmissionDecision::Answer(_)) => panic!("{other:?}"),
        AdmissionDecision::Reject(reject) => (reject.status, &reject.message),
    }
}

#[test]
fn each_policy_sees_the_request_as_those_before_it_left_it() {
    let first = editor("first", |call, out| {
        assert_eq!(texts(&call.request.messages), ["a", "b", "c"]);
        out.insert_message(0, message("zero"));
        out.drop_message(1);
        out.replace_message(2, message("C"));
        out.set_system(vec![ContentBlock::Text("be brief".to_owned()).into()]);
        out.set_field("user", Some(json!("me")));
        Ok(())
    });
    let second = editor("second", |call, out| {
        assert_eq!(texts(&call.request.messages), ["zero", "a", "C"]);
        assert_eq!(call.request.system.len(), 1);
        assert_eq!(call.request.extras.get("user"), Some(&json!("me")));
        out.replace_message(0, message("null"));
        out.insert_message(3, message("last"));
        out.insert_message(2, message("before C"));
        out.set_sampling(Sampling { temperature: Some(0.0), ..Sampling::default() });
        out.set_field("user", None);
        Ok(())
    });
    let started = started(&["a", "b", "c"]);
    let proxy = Proxy::start_call(set_of([first, second]), started.clone());
    let sent = applied(started.request, edits(&proxy));
    assert_eq!(texts(&sent.messages), ["null", "a", "before C", "C", "last"]);
    assert_eq!((sent.system.len(), sent.sampling.temperature, sent.extras.is_empty()), (1, Some(0.0), true));

    let [received, admitted] = [0, 1].map(|at| &proxy.entries[at]["body"]);
    let said = |request: &Value| -> Vec<String> {
        let messages = request["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"][0]["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said(&received["request"]), ["a", "b", "c"]);
    assert_eq!(said(&admitted["sent"]), ["null", "a", "before C", "C", "last"]);
}

#[test]
fn what_nobody_edits_is_not_told() {
    let proxy = Proxy::start_call(set_of([editor("idle", |_, _| Ok(()))]), started(&["a"]));
    assert!(edits(&proxy).is_empty());
    assert!(proxy.entries[1]["body"].get("sent").is_none());
}

#[test]
fn an_edit_that_can_not_be_made_is_a_failure_of_its_policy() {
    let cases: [(OnRequest, &str); 3] = [
        (
            |_, out| {
                out.drop_message(1);
                Ok(())
            },
            "it edited message 1, but there are only 1",
        ),
        (
            |_, out| {
                out.insert_message(2, message("b"));
                Ok(())
            },
            "it edited message 2, but there are only 2",
        ),
        (
            |_, out| {
                out.drop_message(0);
                out.replace_message(0, message("b"));
                Ok(())
            },
            "it edited message 0 twice",
        ),
    ];
    for (act, error) in cases {
        let proxy = Proxy::start_call(set_of([editor("e", act)]), started(&["a"]));
        assert_eq!(rejection(&proxy), (500, "policy e failed"));
        assert_eq!(proxy.entries[1]["body"]["annotations"][0]["details"]["error"], error);
    }
}

#[test]
fn a_proxy_that_can_not_edit_is_told_to_reject() {
    let editor = editor("e", |_, out| {
        out.drop_message(0);
        Ok(())
    });
    let started = CallStarted { capabilities: Vec::new(), ..started(&["a"]) };
    let proxy = Proxy::start_call(set_of([editor]), started);
    let message = "the policies changed the request, and the proxy is not able to send it so";
    assert_eq!(rejection(&proxy), (500, message));
}

#[test]
fn edits_made_before_any_policy_are_seen_by_all_and_told_with_theirs() {
    let seen = editor("seen", |call, out| {
        assert_eq!(texts(&call.request.messages), ["history", "a"]);
        out.replace_message(1, message("A"));
        Ok(())
    });
    let (set, started) = (set_of([seen]), started(&["a"]));
    let before = vec![Edit::InsertMessage(0, message("history"))];
    let proxy = Proxy::start_session(
        Session::begin_with(set.clone(), started.clone(), before.clone().into()),
        set.clone(),
        started.clone(),
    );
    assert_eq!(texts(&applied(started.request.clone(), edits(&proxy)).messages), ["history", "A"]);

    let resumed = CallResumed { epoch: 1, admission: Some(proxy.admission.clone()), applied: Default::default() };
    let mut session = Session::resume_with(set.clone(), resumed, started.clone(), before.into());
    let entries: Vec<Value> = std::iter::from_fn(|| session.poll())
        .map(|output| match output {
            luthien_policy::Output::Record(entry) => json!(entry),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(entries[2], proxy.entries[1]);

    let absurd = vec![Edit::DropMessage(7)];
    let proxy = Proxy::start_session(Session::begin_with(set.clone(), started.clone(), absurd.into()), set, started);
    assert_eq!(rejection(&proxy), (500, "the request could not be changed: it edited message 7, but there are only 1"));
}

#[test]
fn what_is_rejected_before_any_policy_is_shown_to_none() {
    let unseen = || editor("unseen", |_, _| panic!("it was rejected"));
    let (set, started) = (set_of([unseen()]), started(&["a"]));
    let reject = Reject { status: 400, type_: String::new(), message: "no".to_owned() };
    let before = Before { reject: Some(reject), ..Before::default() };
    let session = Session::begin_with(set.clone(), started.clone(), before);
    assert_eq!(rejection(&Proxy::start_session(session, set, started)), (400, "no"));
}

#[test]
fn what_must_not_be_gated_is_rejected_only_where_it_is() {
    let begin = |policies: Vec<Scripted>| {
        let set = set_of(policies);
        let started = started(&["a"]);
        let reject = Reject { status: 400, type_: String::new(), message: "no".to_owned() };
        let before = Before { reject_if_gated: Some(reject), ..Before::default() };
        let session = Session::begin_with(set.clone(), started.clone(), before);
        Proxy::start_session(session, set, started)
    };
    let gating = begin(vec![scripted("gates", pass)]);
    assert_eq!(rejection(&gating), (400, "no"));
    let none = begin(Vec::new());
    assert!(matches!(none.admission.decision, AdmissionDecision::Forward(_)));
}

/// One edit of messages, somewhere.
fn edit() -> impl Strategy<Value = (u8, prop::sample::Index, String)> {
    (0_u8..3, any::<prop::sample::Index>(), "[a-z]{1,3}")
}

proptest! {
    #[test]
    fn edits_of_many_policies_come_to_what_each_of_them_saw(
        texts in prop::collection::vec("[a-z]{1,2}", 0..5),
        stages in prop::collection::vec(prop::collection::vec(edit(), 0..4), 1..4),
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let started = started(&texts);
        let mut shown = started.request.clone();
        let mut all = Vec::new();
        for stage in stages {
            let count = shown.messages.len();
            let mut taken = Vec::new();
            let edits: Vec<Edit> = stage.into_iter().filter_map(|(what, at, text)| {
                let position = u32::try_from(at.index(count + 1)).unwrap();
                if what == 0 {
                    return Some(Edit::InsertMessage(position, message(&text)));
                }
                if position as usize == count || taken.contains(&position) {
                    return None;
                }
                taken.push(position);
                Some(if what == 1 { Edit::DropMessage(position) } else { Edit::ReplaceMessage(position, message(&text)) })
            }).collect();
            shown = applied(shown, &edits);
            all.push(edits);
        }
        let set = set_of(all.into_iter().zip(["a", "b", "c"]).map(|(edits, name)| Scripted { edits, ..editor(name, |_, _| Ok(())) }));
        let proxy = Proxy::start_call(set, started.clone());
        prop_assert_eq!(applied(started.request, edits(&proxy)).messages, shown.messages);
    }
}
