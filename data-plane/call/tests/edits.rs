//! What a policy changes in a request.

#![expect(clippy::unwrap_used, reason = "tests")]

use luthien_call::edits::{Error, apply};
use luthien_proto::{
    Request,
    json::Extras,
    message::Edit,
    request::{ContentBlock, Message, Sampling},
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

fn message(text: &str) -> Message {
    let content = vec![ContentBlock::Text(text.to_owned()).into()];
    Message { role: "user".to_owned(), content, extras: Extras::NONE }
}

fn request(texts: &[&str]) -> Request {
    let messages = texts.iter().map(|text| message(text)).collect();
    let mut request = Request { model: "m".to_owned(), messages, ..Request::default() };
    request.extras.insert("kept", json!(1));
    request
}

fn texts(request: &Request) -> Vec<String> {
    let text = |message: &Message| {
        let ContentBlock::Text(text) = &message.content[0].block else { panic!("{message:?}") };
        text.clone()
    };
    request.messages.iter().map(text).collect()
}

#[track_caller]
fn check(edits: Vec<Edit>, expected: &[&str]) {
    let mut edited = request(&["a", "b", "c"]);
    apply(&mut edited, edits).unwrap();
    assert_eq!(texts(&edited), expected);
}

#[track_caller]
fn check_fault(edits: Vec<Edit>, expected: Error) {
    let mut edited = request(&["a", "b", "c"]);
    assert_eq!(apply(&mut edited, edits), Err(expected));
    assert_eq!(edited, request(&["a", "b", "c"]), "a fault changes nothing");
}

#[test]
fn positions_are_those_of_the_request_as_it_was_told() {
    use Edit::{DropMessage, InsertMessage, ReplaceMessage};
    check(vec![], &["a", "b", "c"]);
    check(vec![ReplaceMessage(1, message("B"))], &["a", "B", "c"]);
    check(vec![DropMessage(0), DropMessage(2)], &["b"]);
    check(vec![DropMessage(0), ReplaceMessage(2, message("C"))], &["b", "C"]);
    check(vec![InsertMessage(0, message("x")), ReplaceMessage(0, message("A"))], &["x", "A", "b", "c"]);
    check(vec![InsertMessage(3, message("x"))], &["a", "b", "c", "x"]);
    check(vec![DropMessage(1), InsertMessage(1, message("x"))], &["a", "x", "c"]);
}

#[test]
fn messages_inserted_at_one_position_keep_their_order() {
    let edits = vec![Edit::InsertMessage(1, message("x")), Edit::InsertMessage(1, message("y"))];
    check(edits, &["a", "x", "y", "b", "c"]);
}

#[test]
fn what_no_edit_names_stays() {
    let mut edited = request(&["a"]);
    let sampling = Sampling { temperature: Some(0.5), ..Sampling::default() };
    let edits = vec![
        Edit::System(vec![ContentBlock::Text("s".to_owned()).into()]),
        Edit::Tools(Vec::new()),
        Edit::Sampling(sampling.clone()),
        Edit::Field("added".to_owned(), Some(json!({"x": null}))),
        Edit::Field("not there".to_owned(), None),
    ];
    apply(&mut edited, edits).unwrap();
    let mut expected = request(&["a"]);
    expected.system = vec![ContentBlock::Text("s".to_owned()).into()];
    expected.sampling = sampling;
    expected.extras.insert("added", json!({"x": null}));
    assert_eq!(edited, expected);

    apply(&mut edited, vec![Edit::Field("kept".to_owned(), None), Edit::Field("added".to_owned(), None)]).unwrap();
    assert!(edited.extras.is_empty());
}

#[test]
fn a_position_that_is_not_there_is_a_fault() {
    let none = |position| Error::NoSuchMessage { position, count: 3 };
    check_fault(vec![Edit::System(Vec::new()), Edit::ReplaceMessage(3, message("x"))], none(3));
    check_fault(vec![Edit::DropMessage(3)], none(3));
    check_fault(vec![Edit::InsertMessage(4, message("x"))], none(4));
    check_fault(vec![Edit::DropMessage(u32::MAX)], none(u32::MAX));
}

#[test]
fn two_edits_of_one_message_are_a_fault() {
    check_fault(vec![Edit::DropMessage(1), Edit::ReplaceMessage(1, message("x"))], Error::EditedTwice(1));
    check_fault(vec![Edit::DropMessage(1), Edit::DropMessage(1)], Error::EditedTwice(1));
}

#[test]
fn a_field_that_the_request_model_names_is_not_written_past_it() {
    for name in ["model", "stream", "messages", "input", "tools", "temperature"] {
        check_fault(vec![Edit::Field(name.to_owned(), Some(json!(true)))], Error::Named(name.to_owned()));
    }
}

proptest! {
    /// The same as if the edits had been made one after the other from the end of the request to its beginning, each
    /// message's own edit before what is inserted before it.
    #[test]
    fn edits_do_not_move_each_other(
        count in 0..6usize,
        own in vec(0..3u8, 6),
        inserted in vec(0..7usize, 0..6),
        order in any::<prop::sample::Index>(),
    ) {
        let names: Vec<_> = (0..count).map(|at| format!("m{at}")).collect();
        let mut edited = request(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut expected = names.clone();
        let mut edits = Vec::new();
        let inserted: Vec<_> = inserted.into_iter().filter(|at| *at <= count).collect();
        for at in (0..=count).rev() {
            let position = u32::try_from(at).unwrap();
            if at < count {
                match own[at] {
                    1 => {
                        expected[at] = format!("r{at}");
                        edits.push(Edit::ReplaceMessage(position, message(&expected[at])));
                    }
                    2 => {
                        expected.remove(at);
                        edits.push(Edit::DropMessage(position));
                    }
                    _ => {}
                }
            }
            let here: Vec<_> = (0..inserted.len()).filter(|nth| inserted[*nth] == at).collect();
            for (offset, nth) in here.into_iter().enumerate() {
                let text = format!("i{nth}");
                edits.push(Edit::InsertMessage(position, message(&text)));
                expected.insert(at + offset, text);
            }
        }
        // The order among positions means nothing.
        if !edits.is_empty() {
            let cut = order.index(edits.len());
            let is_split = |edit: &Edit| matches!(edit, Edit::InsertMessage(..));
            if cut == 0 || !is_split(&edits[cut]) || !is_split(&edits[cut - 1]) {
                edits.rotate_left(cut);
            }
        }
        apply(&mut edited, edits).unwrap();
        prop_assert_eq!(texts(&edited), expected);
        prop_assert_eq!(edited.extras, request(&[]).extras);
    }
}
