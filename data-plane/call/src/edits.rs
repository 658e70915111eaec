//! What a policy changes in a request before it goes upstream.

use std::collections::BTreeMap;

use luthien_proto::{
    Request,
    message::Edit,
    request::{self, Content, Message, Sampling, Tool},
};
use serde_json::Value;
use thiserror::Error;

/// Edits that mean nothing, or not one thing. A fault of whoever wanted them.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// There is no message of that position.
    #[error("message {position} of {count} is edited")]
    NoSuchMessage {
        /// The position.
        position: u32,
        /// How many messages there are.
        count: usize,
    },
    /// A message is replaced or dropped, and then once more.
    #[error("message {0} is edited twice")]
    EditedTwice(u32),
    /// The field is one that the request model has a name for.
    #[error("the field {0:?} is edited past the request model")]
    Named(String),
}

/// Changes the request as all edits together say; what none of them names stays. Positions are those of the request as it
/// is: edits do not move each other. Of several that set the same thing the last one counts.
///
/// # Errors
/// An edit can't be applied; the request is as it was.
pub fn apply(request: &mut Request, edits: Vec<Edit>) -> Result<(), Error> {
    let changes = Changes::of(edits, request.messages.len())?;
    if !changes.messages.is_empty() {
        request.messages = changes.messages.applied(std::mem::take(&mut request.messages));
    }
    if let Some(system) = changes.system {
        request.system = system;
    }
    if let Some(tools) = changes.tools {
        request.tools = tools;
    }
    if let Some(sampling) = changes.sampling {
        request.sampling = sampling;
    }
    if !changes.fields.is_empty() {
        let mut extras = std::mem::take(&mut request.extras).into_map();
        for (name, value) in changes.fields {
            match value {
                Some(value) => drop(extras.insert(name, value)),
                None => drop(extras.shift_remove(&name)),
            }
        }
        request.extras = extras.into();
    }
    Ok(())
}

/// All edits of a request, each found to be possible.
#[derive(Debug, Default)]
struct Changes {
    messages: Messages,
    system: Option<Vec<Content>>,
    tools: Option<Vec<Tool>>,
    sampling: Option<Sampling>,
    fields: Vec<(String, Option<Value>)>,
}

impl Changes {
    fn of(edits: Vec<Edit>, count: usize) -> Result<Self, Error> {
        let mut changes = Self::default();
        for edit in edits {
            match edit {
                Edit::ReplaceMessage(at, message) => changes.messages.put(at, Some(message), count)?,
                Edit::DropMessage(at) => changes.messages.put(at, None, count)?,
                Edit::InsertMessage(at, message) => changes.messages.insert(at, message, count)?,
                Edit::System(system) => changes.system = Some(system),
                Edit::Tools(tools) => changes.tools = Some(tools),
                Edit::Sampling(sampling) => changes.sampling = Some(sampling),
                Edit::Field(name, _) if request::is_named(&name) => return Err(Error::Named(name)),
                Edit::Field(name, value) => changes.fields.push((name, value)),
            }
        }
        Ok(changes)
    }
}

/// What becomes of messages, by position.
#[derive(Debug, Default)]
struct Messages {
    /// What stands there instead.
    put: BTreeMap<u32, Option<Message>>,
    /// What stands before it.
    inserted: BTreeMap<u32, Vec<Message>>,
}

impl Messages {
    fn is_empty(&self) -> bool {
        self.put.is_empty() && self.inserted.is_empty()
    }

    fn put(&mut self, at: u32, message: Option<Message>, count: usize) -> Result<(), Error> {
        if at as usize >= count {
            return Err(Error::NoSuchMessage { position: at, count });
        }
        match self.put.insert(at, message) {
            Some(_) => Err(Error::EditedTwice(at)),
            None => Ok(()),
        }
    }

    fn insert(&mut self, at: u32, message: Message, count: usize) -> Result<(), Error> {
        if at as usize > count {
            return Err(Error::NoSuchMessage { position: at, count });
        }
        self.inserted.entry(at).or_default().push(message);
        Ok(())
    }

    fn applied(mut self, messages: Vec<Message>) -> Vec<Message> {
        let mut edited = Vec::with_capacity(messages.len() + self.inserted.len());
        for (at, message) in (0..).zip(messages) {
            edited.extend(self.inserted.remove(&at).unwrap_or_default());
            edited.extend(self.put.remove(&at).unwrap_or(Some(message)));
        }
        edited.extend(self.inserted.into_values().flatten());
        edited
    }
}
