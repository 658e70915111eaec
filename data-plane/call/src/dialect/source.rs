//! Where the content of a picture or a document is, as the dialects with URLs tell it.

use luthien_proto::request::Source;

/// What a URL stands for: a `data:` URL holds the content itself.
pub(super) fn from_url(url: String) -> Source {
    match split_data_url(&url) {
        Some((media_type, data)) => Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() },
        None => Source::Url(url),
    }
}

/// The media type (parameters and all) and the Base64 of a `data:` URL.
pub(super) fn split_data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,").filter(|(media_type, _)| !media_type.contains(','))
}

/// The `data:` URL of that content.
pub(super) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}
