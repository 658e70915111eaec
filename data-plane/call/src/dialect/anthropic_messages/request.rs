//! The request: system blocks, and messages of content blocks.

mod blocks;
mod options;
mod tools;

use luthien_proto::{
    Request,
    request::{Message, Sampling},
};

use crate::dialect::{
    fields::{Object, take_bool, take_f64, take_string, take_strings, take_u64},
    request::{RequestError, take_content, take_messages},
};

pub(in crate::dialect) fn decode(model: String, mut body: Object) -> Result<Request, RequestError> {
    let messages = take_messages(&mut body)?.into_iter().map(message).collect();
    let (tool_choice, parallel_tool_calls) = tools::take_choice(&mut body);
    Ok(Request {
        model,
        stream: take_bool(&mut body, "stream").unwrap_or(false),
        choices: 1,
        system: take_content(&mut body, "system", blocks::block),
        messages,
        tools: tools::take(&mut body),
        tool_choice,
        parallel_tool_calls,
        sampling: Sampling {
            max_output_tokens: take_u64(&mut body, "max_tokens"),
            temperature: take_f64(&mut body, "temperature"),
            top_p: take_f64(&mut body, "top_p"),
            top_k: take_u64(&mut body, "top_k"),
            stop: take_strings(&mut body, "stop_sequences"),
            ..Sampling::default()
        },
        reasoning: options::reasoning(&mut body),
        output: options::output(&mut body),
        service: options::service(&mut body),
        extras: body.into(),
    })
}

fn message(mut message: Object) -> Message {
    let role = take_string(&mut message, "role").unwrap_or_default();
    let content = take_content(&mut message, "content", blocks::block);
    Message { role, content, extras: message.into() }
}
