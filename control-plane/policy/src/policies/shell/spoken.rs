//! Where in a tool call commands stand.

use super::programs::{is_arguments_key, is_command_key, is_folder_key, is_remark_key, is_shell_tool};
use crate::policies::suspect::{Field, Suspect};

/// What may be run.
pub(super) enum Spoken<'a> {
    Script(&'a str),
    /// A command, word by word.
    Words(Vec<String>),
    /// Where it is run.
    Folder(&'a str),
}

/// What may be run of a call.
pub(super) fn of<'a>(suspect: &'a Suspect<'_>) -> Vec<Spoken<'a>> {
    let is_shell = suspect.names.iter().any(|name| is_shell_tool(name));
    let mut spoken = Vec::new();
    let mut before: Vec<String> = Vec::new();
    for group in suspect.fields.chunk_by(|_, next| !next.is_first) {
        let Some(Field { key, .. }) = group.first() else { continue };
        if is_folder_key(key) {
            spoken.extend(group.iter().map(|field| Spoken::Folder(&field.text)));
        } else if is_arguments_key(key) && !before.is_empty() {
            let words = before.iter().cloned().chain(group.iter().map(|field| field.text.to_string()));
            spoken.push(Spoken::Words(words.collect()));
        } else if is_command_key(key) || (is_shell && !is_remark_key(key)) {
            before = group.iter().map(|field| field.text.to_string()).collect();
            match group {
                [first, _, ..] if !first.text.contains(char::is_whitespace) => {
                    spoken.push(Spoken::Words(before.clone()))
                }
                group => spoken.extend(group.iter().map(|field| Spoken::Script(&field.text))),
            }
        }
    }
    spoken
}

/// The strings in code, whatever the language.
pub(super) fn literals(code: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut chars = code.chars();
    while let Some(quote) = chars.find(|char| matches!(char, '"' | '\'' | '`')) {
        let mut text = String::new();
        while let Some(char) = chars.next().filter(|char| *char != quote) {
            let escaped = (char == '\\').then(|| chars.next()).flatten();
            text.push(escaped.unwrap_or(char));
        }
        if !text.is_empty() {
            literals.push(text);
        }
    }
    literals
}
