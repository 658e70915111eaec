//! The tool calls of one choice, from fragments.
//!
//! Servers number them badly: all with index 0, or not at all; ids are missing, or repeated; names are repeated. Which
//! call a fragment belongs to is found out here, once.

use std::{borrow::Cow, collections::BTreeMap};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolCall, ToolForm},
    json::{Borrowed, Extras, Fields},
};

use super::{choice::Keys, place};
use crate::dialect::DecodeError;

#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The latest call of each index, and of each id.
    by_index: BTreeMap<u64, usize>,
    by_id: BTreeMap<String, usize>,
    /// Whether a client that goes by indexes alone would have read other calls.
    misnumbered: bool,
    legacy: Option<Call>,
}

#[derive(Debug)]
struct Call {
    block: BlockKey,
    index: Option<u64>,
    id: String,
    name: String,
    /// `None`: of an unknown type.
    form: Option<ToolForm>,
}

impl Calls {
    /// Takes in an entry of `tool_calls`.
    pub(super) fn fragment(
        &mut self,
        choice: u32,
        mut entry: Fields<'_>,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let error = |reason: &str| DecodeError::new(format!("choice {choice}: tool_calls"), reason);
        let index = entry.take_u64("index");
        if entry.contains_key("index") {
            return Err(error("an index is no number"));
        }
        let id = entry.take_str("id").unwrap_or_default();
        if let Some(at) = self.find(index, &id, has_name(&entry)) {
            self.number(index, at);
            let call = &mut self.calls[at];
            if call.id.is_empty() && !id.is_empty() {
                entry.insert("id", id.clone());
                call.id = id.clone().into_owned();
                self.by_id.insert(id.into_owned(), at);
            }
            return call.go_on(entry, steps).map_err(error);
        }
        if entry.iter().all(|(_, value)| value.is_null()) && id.is_empty() {
            return Ok(());
        }
        self.number(index, self.calls.len());
        let id = id.into_owned();
        let block = keys.next();
        let call = Call::begin(block, choice, id.clone(), entry, steps).map_err(error)?;
        self.by_index.extend(index.map(|index| (index, self.calls.len())));
        if !id.is_empty() {
            self.by_id.insert(id, self.calls.len());
        }
        self.calls.push(Call { index, ..call });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.legacy.is_none()
    }

    /// Whether a client that goes by indexes alone would have read other calls in what came since this was asked last.
    pub(super) fn take_misnumbered(&mut self) -> bool {
        std::mem::take(&mut self.misnumbered)
    }

    fn number(&mut self, index: Option<u64>, at: usize) {
        self.misnumbered |= index != u64::try_from(at).ok();
    }

    /// Takes in a `function_call`.
    pub(super) fn legacy(
        &mut self,
        choice: u32,
        entry: Fields<'_>,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let error = |reason: &str| DecodeError::new(format!("choice {choice}: function_call"), reason);
        match &mut self.legacy {
            Some(call) => call.go_on(entry, steps).map_err(error),
            None => {
                let mut call = Call {
                    block: keys.next(),
                    index: None,
                    id: String::new(),
                    name: String::new(),
                    form: Some(ToolForm::Legacy),
                };
                call.begin_known(choice, ToolForm::Legacy, entry, steps).map_err(error)?;
                self.legacy = Some(call);
                Ok(())
            }
        }
    }

    /// Stops all blocks.
    pub(super) fn stop(&mut self, events: &mut Vec<Event>) {
        let Self { calls, legacy, .. } = std::mem::take(self);
        let blocks = calls.into_iter().chain(legacy).map(|call| call.block);
        events.extend(blocks.map(|block| Event::from(Step::BlockStopped(block))));
    }

    /// The call that a fragment goes on; `None`: it begins a new one.
    fn find(&self, index: Option<u64>, id: &str, has_name: bool) -> Option<usize> {
        let of_id = || self.by_id.get(id).copied();
        let Some(index) = index else {
            return if id.is_empty() { self.calls.len().checked_sub(1).filter(|_| !has_name) } else { of_id() };
        };
        let latest = *self.by_index.get(&index)?;
        let same_call = id.is_empty() || self.calls[latest].id.is_empty() || self.calls[latest].id == id;
        if same_call { Some(latest) } else { of_id().filter(|at| self.calls[*at].index == Some(index)) }
    }
}

impl Call {
    fn begin(
        block: BlockKey,
        choice: u32,
        id: String,
        mut entry: Fields<'_>,
        steps: &mut Vec<Event>,
    ) -> Result<Self, &'static str> {
        let type_ = entry.text("type");
        let form = match type_ {
            Some("function") => Some(ToolForm::Function),
            Some("custom") => Some(ToolForm::Custom),
            None | Some(_) if entry.get("function").is_some_and(|inner| inner.as_object().is_some()) => {
                Some(ToolForm::Function)
            }
            None | Some(_) if entry.get("custom").is_some_and(|inner| inner.as_object().is_some()) => {
                Some(ToolForm::Custom)
            }
            None => return Err("a call without a name"),
            Some(_) => None,
        };
        let mut call = Self { block, index: None, id, name: String::new(), form };
        match form {
            Some(form) => call.begin_known(choice, form, entry, steps)?,
            None => {
                if !call.id.is_empty() {
                    entry.insert("id", call.id.clone());
                }
                let kind = BlockKind::Opaque(entry.into());
                steps.push(Step::BlockStarted(BlockStarted { block, choice, kind }).into());
            }
        }
        Ok(call)
    }

    fn begin_known(
        &mut self,
        choice: u32,
        form: ToolForm,
        mut entry: Fields<'_>,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        let (name, arguments) = take_fields(form, &mut entry);
        let name = name.filter(|name| !name.is_empty()).ok_or("a call without a name")?;
        self.name = name.into_owned();
        let (id, name) = (self.id.clone(), self.name.clone());
        let head = ToolCall { id, name, namespace: String::new(), form, type_: String::new() };
        let started = BlockStarted { block: self.block, choice, kind: BlockKind::ToolCall(head) };
        steps.push(Event { step: Step::BlockStarted(started), extras: rest(entry) });
        if let Some(arguments) = arguments {
            steps.push(self.delta(Delta::Arguments(arguments.into_owned())).into());
        }
        Ok(())
    }

    fn go_on(&mut self, mut entry: Fields<'_>, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let Some(form) = self.form else {
            if !entry.is_empty() {
                steps.push(self.delta(Delta::Opaque(entry.into())).into());
            }
            return Ok(());
        };
        let (name, arguments) = take_fields(form, &mut entry);
        if name.is_some_and(|name| !name.is_empty() && name != self.name) {
            return Err("the name of a call has changed");
        }
        match arguments {
            Some(arguments) => {
                steps.push(Event { step: self.delta(Delta::Arguments(arguments.into_owned())), extras: rest(entry) });
            }
            None if !entry.is_empty() => steps.push(self.delta(Delta::Opaque(entry.into())).into()),
            None => {}
        }
        Ok(())
    }

    fn delta(&self, delta: Delta) -> Step {
        Step::BlockDelta(BlockDelta { block: self.block, delta })
    }
}

fn has_name(entry: &Fields<'_>) -> bool {
    let name = |key| entry.get(key).and_then(|inner| inner.get("name")).and_then(Borrowed::as_str);
    name("function").or_else(|| name("custom")).is_some_and(|name| !name.is_empty())
}

/// Takes the name and a piece of the arguments out of a fragment.
fn take_fields<'a>(form: ToolForm, entry: &mut Fields<'a>) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    let (place, arguments) = match form {
        ToolForm::Function | ToolForm::Server => ("function", "arguments"),
        ToolForm::Custom => ("custom", "input"),
        ToolForm::Legacy => return (entry.take_str("name"), take_arguments(entry, "arguments")),
    };
    entry.drop_if("type", |type_| type_.is_null() || type_.as_str() == Some(place));
    let Some(mut inner) = entry.take_object(place) else { return (None, None) };
    let taken = (inner.take_str("name"), take_arguments(&mut inner, arguments));
    entry.put_back(place, inner);
    taken
}

/// Arguments are text; some servers send the object itself.
fn take_arguments<'a>(inner: &mut Fields<'a>, key: &str) -> Option<Cow<'a, str>> {
    if let Some(object) = inner.take_object(key) {
        return Some(object.to_string().into());
    }
    inner.take_str(key).filter(|text| !text.is_empty())
}

fn rest(entry: Fields<'_>) -> Extras {
    let mut extras = Extras::NONE;
    extras.insert_fields(place::TOOL_CALL, entry);
    extras
}
