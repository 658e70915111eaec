//! The dialects. Each is a decoder and an encoder of its own; none knows another.
//!
//! A decoder turns what a provider says into the steps of the canonical call, an encoder turns steps into what a client
//! of that dialect reads. What a dialect says beyond the model stays beside the step as its extras, at places that the
//! module of the dialect documents, so that a policy sees it and the encoder of the same dialect can write it back.

mod anthropic_messages;
mod failure;
mod fields;
mod gemini;
mod openai_chat;
mod openai_responses;
mod request;
mod source;
mod target;
mod template;
mod write;

use bytes::{Bytes, BytesMut};
use luthien_proto::{Event, Request, Step, event::CallError, json::Extras, request::Dialect};
use serde_json::Value;
use thiserror::Error;

pub use failure::{decode_error, error_body};
pub use request::{ClientRequest, RequestError, decode_request};
pub use target::{Lost, UpstreamOptions};
use template::{Template, Varying};

/// The content type of a streamed response.
pub const CONTENT_TYPE_SSE: &str = "text/event-stream; charset=utf-8";
/// The content type of a whole response, and of an error.
pub const CONTENT_TYPE_JSON: &str = "application/json";

/// Whether clients may speak the dialect. The functions of this module take every dialect; for one that is not built they
/// fail, or write nothing, except [`error_body`] and [`keepalive`].
pub fn is_client(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::OpenAiResponses => true,
        Dialect::Gemini => false,
    }
}

/// Whether upstreams may speak the dialect.
pub fn is_upstream(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::OpenAiResponses | Dialect::Gemini => true,
    }
}

/// What an upstream said is not the dialect: where, and what is wrong. Never any content.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{place}: {reason}")]
pub struct DecodeError {
    /// The SSE event, or the field.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

impl DecodeError {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

/// Encodes the body of a request for an upstream. The request says what the dialect can say, in the dialect's own words:
/// its extras are written as they are. Where a field has no counterpart it is left out, and named in `lost`.
pub fn encode_request(dialect: Dialect, request: &Request, options: &UpstreamOptions, lost: &mut Lost) -> Bytes {
    let body = match dialect {
        Dialect::OpenAiChat => openai_chat::encode_request(request, options, lost),
        Dialect::AnthropicMessages => anthropic_messages::encode_request(request, options, lost),
        Dialect::OpenAiResponses => openai_responses::encode_request(request, options, lost),
        Dialect::Gemini => gemini::encode_request(request, lost),
    };
    Value::Object(body).to_string().into()
}

/// What an answer repeats of its request where the dialect's answers do so: fields of the answer itself, which OpenAI
/// Responses has in the extras of Started under `response`.
pub fn echo(dialect: Dialect, request: &Request) -> Extras {
    match dialect {
        Dialect::OpenAiResponses => openai_responses::echo(request),
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::Gemini => Extras::NONE,
    }
}

/// Decodes a streamed response.
///
/// Whatever the upstream sends, the steps are grammatical: Started first and once; every delta within an open block; the
/// blocks of a choice stopped before its Finished; one last step. What can't be told so is an error.
#[derive(Debug)]
pub struct ResponseDecoder {
    decoder: Decoder,
    /// What the last event may have in common with the next: nothing else was said since.
    template: Option<Box<Template>>,
    ambiguous: bool,
}

#[derive(Debug)]
enum Decoder {
    OpenAiChat(Box<openai_chat::Decoder>),
    AnthropicMessages(Box<anthropic_messages::Decoder>),
    Gemini(Box<gemini::Decoder>),
    OpenAiResponses(Box<openai_responses::Decoder>),
}

impl ResponseDecoder {
    /// A decoder of one response.
    pub fn new(dialect: Dialect) -> Self {
        let decoder = match dialect {
            Dialect::OpenAiChat => Decoder::OpenAiChat(Box::default()),
            Dialect::AnthropicMessages => Decoder::AnthropicMessages(Box::default()),
            Dialect::Gemini => Decoder::Gemini(Box::default()),
            Dialect::OpenAiResponses => Decoder::OpenAiResponses(Box::default()),
        };
        Self { decoder, template: None, ambiguous: false }
    }

    /// The steps of one SSE event; none, if it says nothing (a ping, an empty first delta).
    ///
    /// # Errors
    /// The event breaks JSON or the dialect's grammar. The decoder is of no use after that.
    pub fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        if let Some(event) = self.template.as_ref().and_then(|template| template.read(name, data)) {
            return Ok(vec![event]);
        }
        self.template = None;
        let events = self.decoder.event(name, data)?;
        let is_ambiguous = self.decoder.take_ambiguous();
        self.ambiguous |= is_ambiguous;
        if let Some(varying) = self.decoder.varying().filter(|_| !is_ambiguous) {
            self.template = Template::of(name, data, &events, varying).map(Box::new);
        }
        Ok(events)
    }

    /// Whether a client may read something else than these steps in what came since this was asked last, so that it must
    /// not leave as it came: blocks or calls of tools that are misnumbered.
    pub fn take_ambiguous(&mut self) -> bool {
        std::mem::take(&mut self.ambiguous)
    }

    /// Whether what came last is no step, and goes on in the next event: the bytes of both belong together.
    pub fn is_amid(&self) -> bool {
        match &self.decoder {
            Decoder::OpenAiResponses(decoder) => decoder.is_amid(),
            Decoder::OpenAiChat(_) | Decoder::AnthropicMessages(_) | Decoder::Gemini(_) => false,
        }
    }

    /// The stream is over, cleanly: nothing more if it has had its last step; Ended if every choice is finished; else
    /// Failed.
    pub fn end(&mut self) -> Vec<Event> {
        self.template = None;
        match &mut self.decoder {
            Decoder::OpenAiChat(decoder) => decoder.end(),
            Decoder::AnthropicMessages(decoder) => decoder.end(),
            Decoder::Gemini(decoder) => decoder.end(),
            Decoder::OpenAiResponses(decoder) => decoder.end(),
        }
    }

    /// The upstream broke off: Failed, unless the stream has had its last step.
    pub fn cut(&mut self, reason: &str) -> Vec<Event> {
        self.template = None;
        let is_over = match &mut self.decoder {
            Decoder::OpenAiChat(decoder) => decoder.cut(),
            Decoder::AnthropicMessages(decoder) => decoder.cut(),
            Decoder::Gemini(decoder) => decoder.cut(),
            Decoder::OpenAiResponses(decoder) => decoder.cut(),
        };
        if is_over { Vec::new() } else { vec![broken_off(reason)] }
    }
}

impl Decoder {
    fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        match self {
            Self::OpenAiChat(decoder) => decoder.event(name, data),
            Self::AnthropicMessages(decoder) => decoder.event(name, data),
            Self::Gemini(decoder) => decoder.event(name, data),
            Self::OpenAiResponses(decoder) => decoder.event(name, data),
        }
    }

    fn take_ambiguous(&mut self) -> bool {
        match self {
            Self::OpenAiChat(decoder) => decoder.take_ambiguous(),
            Self::AnthropicMessages(decoder) => decoder.take_ambiguous(),
            Self::OpenAiResponses(decoder) => decoder.take_ambiguous(),
            // No client speaks it, so that nothing of it ever leaves as it came.
            Self::Gemini(_) => false,
        }
    }

    /// What of a delta may vary without changing the decoder, so that it need not know of it.
    fn varying(&self) -> Option<&'static Varying> {
        match self {
            Self::OpenAiChat(_) => Some(&openai_chat::VARYING),
            Self::AnthropicMessages(_) => Some(&anthropic_messages::VARYING),
            // These keep count of what they said.
            Self::Gemini(_) | Self::OpenAiResponses(_) => None,
        }
    }
}

/// The last step of a response of which no more will come.
fn broken_off(reason: &str) -> Event {
    Step::Failed(CallError { message: reason.to_owned(), ..CallError::default() }).into()
}

/// Decodes the body of a response that is not streamed (2xx, JSON) to the steps that a stream would have had. A body that
/// tells an error is Failed alone.
///
/// # Errors
/// The body breaks JSON, or is no response of the dialect.
pub fn decode_whole(dialect: Dialect, body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::decode_whole(body),
        Dialect::AnthropicMessages => anthropic_messages::decode_whole(body),
        Dialect::Gemini => gemini::decode_whole(body),
        Dialect::OpenAiResponses => openai_responses::decode_whole(body),
    }
}

/// Encodes a streamed response.
///
/// The caller brings the steps in a grammatical order: Started first; blocks started, then their deltas, then stopped;
/// Finished per choice; Ended or Failed last, once.
#[derive(Debug)]
pub struct ResponseEncoder(Encoder);

#[derive(Debug)]
enum Encoder {
    OpenAiChat(Box<openai_chat::Encoder>),
    AnthropicMessages(Box<anthropic_messages::Encoder>),
    OpenAiResponses(Box<openai_responses::Encoder>),
    NotBuilt,
}

impl ResponseEncoder {
    /// An encoder of one response.
    pub fn new(dialect: Dialect) -> Self {
        Self(match dialect {
            Dialect::OpenAiChat => Encoder::OpenAiChat(Box::default()),
            Dialect::AnthropicMessages => Encoder::AnthropicMessages(Box::default()),
            Dialect::OpenAiResponses => Encoder::OpenAiResponses(Box::default()),
            Dialect::Gemini => Encoder::NotBuilt,
        })
    }

    /// A step left as its original bytes: the encoder's state follows. Not to be mixed with what [`Self::flush`] still has
    /// to write: flush before.
    pub fn observe(&mut self, event: &Event) {
        match &mut self.0 {
            Encoder::OpenAiChat(encoder) => encoder.observe(event),
            Encoder::AnthropicMessages(encoder) => encoder.observe(event),
            Encoder::OpenAiResponses(encoder) => encoder.observe(event),
            Encoder::NotBuilt => {}
        }
    }

    /// Writes a step, as SSE events. A step that shares an SSE event with the next one may wait for it (see
    /// [`Self::flush`]); Usage and Finished may wait for the end of the response.
    pub fn encode(&mut self, event: &Event, out: &mut BytesMut) {
        match &mut self.0 {
            Encoder::OpenAiChat(encoder) => encoder.encode(event, out),
            Encoder::AnthropicMessages(encoder) => encoder.encode(event, out),
            Encoder::OpenAiResponses(encoder) => encoder.encode(event, out),
            Encoder::NotBuilt => {}
        }
    }

    /// Nothing more is to be written for now: writes what waits only for company (Started, for its Usage).
    pub fn flush(&mut self, out: &mut BytesMut) {
        match &mut self.0 {
            Encoder::OpenAiChat(_) | Encoder::OpenAiResponses(_) | Encoder::NotBuilt => {}
            Encoder::AnthropicMessages(encoder) => encoder.flush(out),
        }
    }
}

/// Folds the steps of a complete response (no Failed) to the body of one that is not streamed.
pub fn encode_whole(dialect: Dialect, events: &[Event]) -> Bytes {
    match dialect {
        Dialect::OpenAiChat => openai_chat::encode_whole(events),
        Dialect::AnthropicMessages => anthropic_messages::encode_whole(events),
        Dialect::OpenAiResponses => openai_responses::encode_whole(events),
        Dialect::Gemini => Bytes::new(),
    }
}

/// Whether the texts of a choice run together to one, so that what a policy adds needs a gap to be read.
pub(crate) fn joins_texts(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat => true,
        Dialect::AnthropicMessages | Dialect::OpenAiResponses | Dialect::Gemini => false,
    }
}

/// Whether only a response that has begun can fail within a stream.
pub(crate) fn fails_begun(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiResponses => true,
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::Gemini => false,
    }
}

/// What keeps a client from giving up on a silent stream, without meaning anything.
pub fn keepalive(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::AnthropicMessages => b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini => b":\n\n",
    }
}
