//! Ids in the shape that the client's dialect gives them. The same id becomes the same each time.

use luthien_proto::request::Dialect;
use sha2::{Digest, Sha256};

const PREFIXES: [&str; 3] = ["msg_", "chatcmpl-", "resp_"];

/// The id of a response, made of the upstream's. `None`: the upstream gave none.
pub(super) fn response(client: Dialect, id: &str) -> Option<String> {
    const LONGEST: usize = 64;
    let prefix = prefix(client);
    if id.is_empty() || id.starts_with(prefix) && !prefix.is_empty() && id.len() <= LONGEST {
        return (!id.is_empty()).then(|| id.to_owned());
    }
    let own = PREFIXES.into_iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id);
    Some(format!("{prefix}{}", fit(own, LONGEST - prefix.len(), true)))
}

/// What the ids of responses begin with.
pub(crate) fn prefix(client: Dialect) -> &'static str {
    match client {
        Dialect::OpenAiChat => "chatcmpl-",
        Dialect::AnthropicMessages => "msg_",
        Dialect::OpenAiResponses => "resp_",
        Dialect::Gemini => "",
    }
}

/// The id of the tool call that is so many-th in its response.
pub(crate) fn call(client: Dialect, id: &str, response: &str, nth: u32) -> String {
    if id.is_empty() {
        return format!("call_{}", hash(&format!("{response} {nth}"), 24));
    }
    match client {
        Dialect::OpenAiChat => fit(id, 40, false),
        Dialect::OpenAiResponses => fit(id, 64, false),
        Dialect::AnthropicMessages => fit(id, 64, true),
        Dialect::Gemini => id.to_owned(),
    }
}

/// An id of at most so many characters, and `plain`: of letters, digits, `_` and `-` only.
fn fit(id: &str, longest: usize, plain: bool) -> String {
    const HASHED: usize = 8;
    let fits = |char: char| !plain || char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    if id.len() <= longest && id.chars().all(fits) {
        return id.to_owned();
    }
    let fitting = |char: char| if fits(char) && char.is_ascii_graphic() { char } else { '_' };
    let kept: String = id.chars().map(fitting).take(longest - HASHED - 1).collect();
    format!("{kept}_{}", hash(id, HASHED))
}

fn hash(text: &str, digits: usize) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..digits].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_an_id_of_the_clients_dialect() {
        for (client, id, expected) in [
            (Dialect::AnthropicMessages, "chatcmpl-9xY", "msg_9xY"),
            (Dialect::AnthropicMessages, "msg_9xY", "msg_9xY"),
            (Dialect::OpenAiChat, "msg_9xY", "chatcmpl-9xY"),
            (Dialect::OpenAiResponses, "R", "resp_R"),
        ] {
            assert_eq!(response(client, id).as_deref(), Some(expected));
        }
        assert_eq!(response(Dialect::OpenAiChat, ""), None);
        let odd = response(Dialect::AnthropicMessages, &"é/".repeat(60)).unwrap();
        assert!(odd.len() <= 64 && odd.starts_with("msg___"), "{odd}");
    }

    #[test]
    fn the_id_of_a_call_stays_if_it_can() {
        assert_eq!(call(Dialect::AnthropicMessages, "toolu_1", "r", 0), "toolu_1");
        assert_eq!(call(Dialect::OpenAiChat, "functions.f:0", "r", 0), "functions.f:0");
        let odd = call(Dialect::AnthropicMessages, "functions.f:0", "r", 0);
        assert!(odd.starts_with("functions_f_0_") && odd != call(Dialect::AnthropicMessages, "functions:f.0", "r", 0));
        let long = call(Dialect::OpenAiChat, &"x".repeat(41), "r", 0);
        assert_eq!((long.len(), long == call(Dialect::OpenAiChat, &"x".repeat(42), "r", 0)), (40, false));
        let made = call(Dialect::OpenAiChat, "", "r", 0);
        assert!(made.starts_with("call_") && made != call(Dialect::OpenAiChat, "", "r", 1) && made.len() <= 40);
    }
}
