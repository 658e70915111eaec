//! A request while it is edited: each policy sees it as those before left it, and the proxy is told of all edits at once.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::{Request, message::Edit, request::Message};
use serde_json::Value;

/// What was changed in a request, which itself is kept elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// How many messages there were.
    received: u32,
    /// What each message is that is there now.
    messages: Vec<Origin>,
    system: bool,
    tools: bool,
    sampling: bool,
    fields: BTreeMap<String, Option<Value>>,
}

/// Where a message comes from. Positions are those of the request as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Kept(u32),
    Replaced(u32),
    Inserted,
}

/// An edit that can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("it edited message {position}, but there are only {messages}")]
    NoMessage { position: u32, messages: usize },
    #[error("it edited message {position} twice")]
    EditedTwice { position: u32 },
}

/// The edits of messages in one go.
#[derive(Default)]
struct MessageEdits {
    inserted: BTreeMap<u32, Vec<Message>>,
    /// `None`: dropped.
    edited: BTreeMap<u32, Option<Message>>,
}

impl Draft {
    /// Nothing was changed.
    pub fn new(request: &Request) -> Self {
        let received = u32::try_from(request.messages.len()).unwrap_or(u32::MAX);
        Self { received, messages: (0..received).map(Origin::Kept).collect(), ..Self::default() }
    }

    /// Whether anything was changed.
    pub fn is_edited(&self) -> bool {
        let kept = |(origin, position): (&Origin, u32)| *origin == Origin::Kept(position);
        self.system
            || self.tools
            || self.sampling
            || !self.fields.is_empty()
            || self.messages.len() != self.received as usize
            || !self.messages.iter().zip(0..).all(kept)
    }

    /// Makes edits. Their positions are those of the request as it is: they do not move each other.
    ///
    /// # Errors
    /// One of them can't be made; none was.
    pub fn apply(&mut self, request: &mut Request, edits: Vec<Edit>) -> Result<(), EditError> {
        let messages = MessageEdits::of(&edits, request.messages.len())?;
        for edit in edits {
            match edit {
                Edit::System(content) => (request.system, self.system) = (content, true),
                Edit::Tools(tools) => (request.tools, self.tools) = (tools, true),
                Edit::Sampling(sampling) => (request.sampling, self.sampling) = (sampling, true),
                Edit::Field(name, json) => self.field(request, name, json),
                Edit::ReplaceMessage(..) | Edit::InsertMessage(..) | Edit::DropMessage(_) => {}
            }
        }
        self.messages(request, messages);
        Ok(())
    }

    /// All of it, in positions of the request as it was received.
    pub fn edits(&self, request: &Request) -> Vec<Edit> {
        let system = self.system.then(|| Edit::System(request.system.clone()));
        let tools = self.tools.then(|| Edit::Tools(request.tools.clone()));
        let sampling = self.sampling.then(|| Edit::Sampling(request.sampling.clone()));
        let fields = self.fields.iter().map(|(name, json)| Edit::Field(name.clone(), json.clone()));
        let others = system.into_iter().chain(tools).chain(sampling).chain(fields);
        others.chain(self.message_edits(&request.messages)).collect()
    }

    fn field(&mut self, request: &mut Request, name: String, json: Option<Value>) {
        match &json {
            Some(json) => {
                request.extras.insert(name.clone(), json.clone());
            }
            None => {
                let mut fields = std::mem::take(&mut request.extras).into_map();
                fields.remove(&name);
                request.extras = fields.into();
            }
        }
        self.fields.insert(name, json);
    }

    fn messages(&mut self, request: &mut Request, edits: MessageEdits) {
        let MessageEdits { mut inserted, mut edited } = edits;
        let before = std::mem::take(&mut request.messages).into_iter().zip(std::mem::take(&mut self.messages));
        let mut after = Vec::new();
        for ((message, origin), position) in before.zip(0..) {
            after.extend(inserted.remove(&position).into_iter().flatten().map(|message| (message, Origin::Inserted)));
            match edited.remove(&position) {
                None => after.push((message, origin)),
                Some(replacement) => after.extend(replacement.map(|message| (message, origin.replaced()))),
            }
        }
        after.extend(inserted.into_values().flatten().map(|message| (message, Origin::Inserted)));
        (request.messages, self.messages) = after.into_iter().unzip();
    }

    fn message_edits(&self, messages: &[Message]) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut next = 0;
        for (origin, message) in self.messages.iter().zip(messages) {
            let position = match origin {
                Origin::Inserted => {
                    edits.push(Edit::InsertMessage(next, message.clone()));
                    continue;
                }
                Origin::Kept(position) | Origin::Replaced(position) => *position,
            };
            edits.extend((next..position).map(Edit::DropMessage));
            if *origin == Origin::Replaced(position) {
                edits.push(Edit::ReplaceMessage(position, message.clone()));
            }
            next = position + 1;
        }
        edits.extend((next..self.received).map(Edit::DropMessage));
        edits
    }
}

impl Origin {
    fn replaced(self) -> Self {
        match self {
            Self::Kept(position) | Self::Replaced(position) => Self::Replaced(position),
            Self::Inserted => Self::Inserted,
        }
    }
}

impl MessageEdits {
    fn of(edits: &[Edit], messages: usize) -> Result<Self, EditError> {
        let mut of_messages = Self::default();
        let mut seen = BTreeSet::new();
        for edit in edits {
            let (position, message) = match edit {
                Edit::InsertMessage(position, message) => {
                    check(*position, messages + 1)?;
                    of_messages.inserted.entry(*position).or_default().push(message.clone());
                    continue;
                }
                Edit::ReplaceMessage(position, message) => (*position, Some(message.clone())),
                Edit::DropMessage(position) => (*position, None),
                Edit::System(_) | Edit::Tools(_) | Edit::Sampling(_) | Edit::Field(..) => continue,
            };
            check(position, messages)?;
            if !seen.insert(position) {
                return Err(EditError::EditedTwice { position });
            }
            of_messages.edited.insert(position, message);
        }
        Ok(of_messages)
    }
}

fn check(position: u32, messages: usize) -> Result<(), EditError> {
    if (position as usize) < messages { Ok(()) } else { Err(EditError::NoMessage { position, messages }) }
}
