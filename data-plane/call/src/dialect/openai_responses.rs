//! OpenAI Responses: the output is a list of items, some of them with parts.

mod request;

pub(super) use request::{decode as decode_request, echo, encode as encode_request};
