//! Pictures, documents and sound, as parts.

use luthien_proto::request::{ContentBlock, Source};
use serde_json::{Value, json};

/// The part; `None`: the block is no medium, or is text.
pub(super) fn part(block: &ContentBlock) -> Option<Value> {
    match block {
        ContentBlock::Image { source, .. } | ContentBlock::Document { source, .. } => match source {
            Source::Base64 { media_type, data } => Some(inline(media_type, data)),
            Source::Url(url) => Some(at(url)),
            Source::FileId(id) => Some(json!({"fileData": {"fileUri": id}})),
            Source::Text(_) => None,
        },
        ContentBlock::Audio { data, format } if format.contains('/') => Some(inline(format, data)),
        ContentBlock::Audio { data, format } => Some(inline(&format!("audio/{format}"), data)),
        ContentBlock::Text(_)
        | ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. }
        | ContentBlock::Opaque(_) => None,
    }
}

/// What a block says in words: the text of a document begins with its title.
pub(super) fn text(block: &ContentBlock) -> Option<String> {
    match block {
        ContentBlock::Text(text) | ContentBlock::Refusal(text) => Some(text.clone()),
        ContentBlock::Document { source: Source::Text(text), title } if !title.is_empty() => {
            Some(format!("{title}\n{text}"))
        }
        ContentBlock::Image { source: Source::Text(text), .. }
        | ContentBlock::Document { source: Source::Text(text), .. } => Some(text.clone()),
        ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. }
        | ContentBlock::Audio { .. }
        | ContentBlock::Opaque(_) => None,
    }
}

fn inline(media_type: &str, data: &str) -> Value {
    json!({"inlineData": {"mimeType": media_type, "data": data}})
}

/// What is at a URL is the provider's to fetch; a `data:` URL is here.
fn at(url: &str) -> Value {
    if let Some((head, data)) = url.strip_prefix("data:").and_then(|url| url.split_once(','))
        && let Some(media_type) = head.strip_suffix(";base64")
    {
        return inline(media_type.split(';').next().unwrap_or_default(), data);
    }
    match media_type(url) {
        Some(media_type) => json!({"fileData": {"mimeType": media_type, "fileUri": url}}),
        None => json!({"fileData": {"fileUri": url}}),
    }
}

/// By the name of the file.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "txt" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        _ => return None,
    })
}
