//! Errors between dialects: their statuses, types and codes. The message stays the upstream's, word for word, except
//! where an agent repairs its request by what the message says.

use luthien_proto::{event::CallError, request::Dialect};

/// What went wrong, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Invalid,
    TooLong,
    Unauthenticated,
    Unpaid,
    Forbidden,
    NotFound,
    Conflict,
    TooLarge,
    Limited,
    Overloaded,
    TimedOut,
    Failed,
}

/// An error of the upstream as the client's dialect tells it.
pub(crate) fn convert(error: CallError, upstream: Dialect, client: Dialect) -> CallError {
    let sort = sort(&error);
    let status = if error.status == 0 { 0 } else { status(sort, &error, client) };
    let (type_, code) = match client {
        Dialect::AnthropicMessages => {
            let message = if sort == Sort::TooLong { too_long(error.message) } else { error.message };
            let type_ = anthropic(sort).to_owned();
            return CallError { status, type_, message, ..CallError::default() };
        }
        Dialect::OpenAiChat | Dialect::OpenAiResponses => open_ai(sort),
        Dialect::Gemini => ("", ""),
    };
    let CallError { type_: own_type, code: own_code, param, .. } = match upstream {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => error.clone(),
        Dialect::AnthropicMessages | Dialect::Gemini => CallError::default(),
    };
    let or = |own: String, other: &str| if own.is_empty() { other.to_owned() } else { own };
    CallError { status, type_: or(own_type, type_), code: or(own_code, code), param, message: error.message }
}

/// The status for an error that came within a stream, where the client has heard nothing yet.
pub(crate) fn late_status(error: &CallError, client: Dialect) -> u16 {
    status(sort(error), error, client)
}

fn status(sort: Sort, error: &CallError, client: Dialect) -> u16 {
    let is_anthropic = client == Dialect::AnthropicMessages;
    let own = |other: u16| if error.status == 0 { other } else { error.status };
    own(match sort {
        Sort::TooLong => return 400,
        Sort::Unpaid => return if is_anthropic { 402 } else { 429 },
        Sort::Overloaded => return if is_anthropic { 529 } else { 503 },
        Sort::Invalid => 400,
        Sort::Unauthenticated => 401,
        Sort::Forbidden => 403,
        Sort::NotFound => 404,
        Sort::Conflict => 409,
        Sort::TooLarge => 413,
        Sort::Limited => 429,
        Sort::TimedOut => 504,
        Sort::Failed => 502,
    })
}

fn anthropic(sort: Sort) -> &'static str {
    match sort {
        Sort::Invalid | Sort::TooLong => "invalid_request_error",
        Sort::Unauthenticated => "authentication_error",
        Sort::Unpaid => "billing_error",
        Sort::Forbidden => "permission_error",
        Sort::NotFound => "not_found_error",
        Sort::Conflict => "conflict_error",
        Sort::TooLarge => "request_too_large",
        Sort::Limited => "rate_limit_error",
        Sort::Overloaded => "overloaded_error",
        Sort::TimedOut => "timeout_error",
        Sort::Failed => "api_error",
    }
}

/// OpenAI's type, and its code.
fn open_ai(sort: Sort) -> (&'static str, &'static str) {
    match sort {
        Sort::Invalid | Sort::Forbidden | Sort::Conflict | Sort::TooLarge => ("invalid_request_error", ""),
        Sort::TooLong => ("invalid_request_error", "context_length_exceeded"),
        Sort::Unauthenticated => ("invalid_request_error", "invalid_api_key"),
        Sort::NotFound => ("invalid_request_error", "model_not_found"),
        Sort::Unpaid => ("insufficient_quota", "insufficient_quota"),
        Sort::Limited => ("requests", "rate_limit_exceeded"),
        Sort::Overloaded => ("server_error", "server_is_overloaded"),
        Sort::TimedOut | Sort::Failed => ("server_error", ""),
    }
}

/// Words that say much come before the status, which comes before words that say little.
fn sort(error: &CallError) -> Sort {
    if is_too_long(error) {
        return Sort::TooLong;
    }
    let [code, type_] = [&error.code, &error.type_].map(|word| telling(word));
    code.or(type_).or_else(|| of_status(error.status)).unwrap_or(match error.type_.as_str() {
        "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Sort::Invalid,
        _ => Sort::Failed,
    })
}

fn telling(word: &str) -> Option<Sort> {
    Some(match word {
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => Sort::Unauthenticated,
        "billing_error" | "insufficient_quota" | "usage_not_included" | "billing_hard_limit_reached" => Sort::Unpaid,
        "permission_error" | "PERMISSION_DENIED" => Sort::Forbidden,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => Sort::NotFound,
        "conflict_error" | "ABORTED" => Sort::Conflict,
        "request_too_large" => Sort::TooLarge,
        "rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests" | "RESOURCE_EXHAUSTED" => Sort::Limited,
        "overloaded_error" | "server_is_overloaded" | "slow_down" | "UNAVAILABLE" => Sort::Overloaded,
        "timeout_error" | "DEADLINE_EXCEEDED" => Sort::TimedOut,
        _ => return None,
    })
}

fn of_status(status: u16) -> Option<Sort> {
    Some(match status {
        0 => return None,
        401 => Sort::Unauthenticated,
        402 => Sort::Unpaid,
        403 => Sort::Forbidden,
        404 => Sort::NotFound,
        409 => Sort::Conflict,
        413 => Sort::TooLarge,
        429 => Sort::Limited,
        400..=498 => Sort::Invalid,
        503 | 529 => Sort::Overloaded,
        504 => Sort::TimedOut,
        _ => Sort::Failed,
    })
}

/// Whether the request has more tokens than the model's context holds.
fn is_too_long(error: &CallError) -> bool {
    if error.code == "context_length_exceeded" {
        return true;
    }
    let message = error.message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().all(|word| message.contains(word));
    matches!(error.status, 0 | 400 | 413 | 422)
        && (says(&["maximum context length"])
            || says(&["prompt is too long"])
            || says(&["exceed context limit"])
            || says(&["exceed", "context window"])
            || says(&["input token count", "exceeds the maximum"]))
}

/// What Anthropic says of a request that is too long: Claude Code repairs its request by the numbers in it. Without
/// numbers it stays as it is.
fn too_long(message: String) -> String {
    let numbers = Overflow::in_message(&message);
    match numbers {
        _ if message.contains("prompt is too long") || message.contains("exceed context limit") => message,
        Some(Overflow { input, output: 0, limit }) => format!("prompt is too long: {input} tokens > {limit} maximum"),
        Some(Overflow { input, limit, .. }) if input > limit => {
            format!("prompt is too long: {input} tokens > {limit} maximum")
        }
        Some(Overflow { input, output, limit }) => {
            format!("input length and `max_tokens` exceed context limit: {input} + {output} > {limit}")
        }
        None => message,
    }
}

/// How many tokens were asked for, and how many there may be.
struct Overflow {
    input: u64,
    output: u64,
    limit: u64,
}

impl Overflow {
    fn in_message(message: &str) -> Option<Self> {
        let message = message.to_ascii_lowercase();
        let after = |words: &[&str]| words.iter().find_map(|words| number_after(&message, words));
        let limit =
            after(&["maximum context length is", "context length is only", "maximum number of tokens allowed ("])?;
        let output = number_before(&message, &["in the completion", "in the output", "output tokens"]).unwrap_or(0);
        let input = number_before(&message, &["in the messages", "of text input", "input tokens"]).or_else(|| {
            after(&["messages resulted in", "input token count (", "you requested about", "you requested"])
        })?;
        (input.saturating_add(output) > limit).then_some(Self { input, output, limit })
    }
}

/// The number that follows the words.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let rest = text[text.find(words)? + words.len()..].trim_start();
    let digits = rest.split(|char: char| !char.is_ascii_digit() && char != ',').next()?;
    digits.replace(',', "").parse().ok()
}

/// The number that stands before the first of the words that are there.
fn number_before(text: &str, words: &[&str]) -> Option<u64> {
    let at = words.iter().find_map(|words| text.find(words))?;
    let word = text[..at].split_whitespace().next_back()?;
    word.trim_matches(|char: char| !char.is_ascii_digit()).replace(',', "").parse().ok()
}
