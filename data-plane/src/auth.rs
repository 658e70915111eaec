//! Who a client is, and which credentials its call has upstream.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use luthien_proto::request::Dialect;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{config, headers::CREDENTIALS, refusal::Refusal};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Whom the listener serves.
pub(crate) enum Auth {
    /// Everybody, with their own credentials.
    Passthrough,
    /// Those who have one of these keys.
    Keys(Vec<Key>),
}

/// A key of ours. Kept as its digest: comparing takes the same time whatever is presented.
pub(crate) struct Key {
    name: String,
    digest: [u8; 32],
}

/// A client that may call.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The name of its key; else empty.
    pub(crate) name: String,
    /// Its own credentials, where they go upstream.
    credentials: HeaderMap,
}

impl Auth {
    pub(crate) fn new(config: &config::Auth) -> Self {
        match config {
            config::Auth::Passthrough => Self::Passthrough,
            config::Auth::Keys(keys) => Self::Keys(
                keys.iter()
                    .map(|key| Key { name: key.name.clone(), digest: digest(key.key.expose().as_bytes()) })
                    .collect(),
            ),
        }
    }

    /// Whether clients are known: then they may say which trace a call belongs to.
    pub(crate) fn knows_clients(&self) -> bool {
        matches!(self, Self::Keys(_))
    }

    /// The client that these headers come from.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        match self {
            Self::Passthrough => Ok(Caller { name: String::new(), credentials: own_credentials(headers) }),
            Self::Keys(keys) => {
                let presented = presented(headers);
                if presented.is_empty() {
                    return Err(Refusal::NoKey);
                }
                let known = presented.iter().find_map(|key| find(keys, key));
                let key = known.ok_or(Refusal::WrongKey)?;
                Ok(Caller { name: key.name.clone(), credentials: HeaderMap::new() })
            }
        }
    }
}

impl Caller {
    /// Adds what authorizes the request upstream: the caller's own credentials, or else the upstream's key.
    pub(crate) fn authorize(self, dialect: Dialect, api_key: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if !self.credentials.is_empty() {
            headers.extend(self.credentials);
        } else if let Some(key) = api_key {
            headers.insert(key_header(dialect), key.clone());
        }
    }
}

/// The value of the header that carries an upstream's key. `None`: no header can carry it.
pub(crate) fn key_value(dialect: Dialect, key: &str) -> Option<HeaderValue> {
    let text = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => format!("Bearer {key}"),
        Dialect::AnthropicMessages | Dialect::Gemini => key.to_owned(),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn key_header(dialect: Dialect) -> HeaderName {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => header::AUTHORIZATION,
        Dialect::AnthropicMessages => X_API_KEY,
        Dialect::Gemini => X_GOOG_API_KEY,
    }
}

fn own_credentials(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    for name in CREDENTIALS.iter().copied().map(HeaderName::from_static) {
        for value in headers.get_all(&name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            own.append(name.clone(), value);
        }
    }
    own
}

fn presented(headers: &HeaderMap) -> Vec<&[u8]> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    bearer.chain(headers.get_all(X_API_KEY).iter().map(HeaderValue::as_bytes)).collect()
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Looks at all the keys, whichever it is.
fn find<'a>(keys: &'a [Key], presented: &[u8]) -> Option<&'a Key> {
    let presented = digest(presented);
    let mut found = None;
    for key in keys {
        let same: Choice = key.digest.ct_eq(&presented);
        if same.into() {
            found = Some(key);
        }
    }
    found
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn keys() -> Auth {
        let key = |name: &str, key: &str| Key { name: name.to_owned(), digest: digest(key.as_bytes()) };
        Auth::Keys(vec![key("ci", "secret-1"), key("", "secret-2")])
    }

    #[test]
    fn a_key_is_taken_from_either_header_and_names_the_client() {
        let table: [(&[_], _); 6] = [
            (&[("authorization", "Bearer secret-1")], Ok("ci")),
            (&[("authorization", "bearer  secret-1")], Ok("ci")),
            (&[("x-api-key", "secret-2")], Ok("")),
            (&[("authorization", "Bearer other"), ("x-api-key", "secret-1")], Ok("ci")),
            (&[("authorization", "Basic secret-1")], Err("an API key is needed")),
            (&[("x-api-key", "secret")], Err("the API key is not known")),
        ];
        for (lines, expected) in table {
            match (keys().caller(&headers(lines)), expected) {
                (Ok(caller), Ok(name)) => assert_eq!(caller.name, name, "{lines:?}"),
                (Err(refusal), Err(start)) => assert!(refusal.to_string().starts_with(start), "{lines:?}: {refusal}"),
                (got, _) => panic!("{lines:?}: {got:?}"),
            }
        }
    }

    fn authorized(
        auth: &Auth,
        client: &[(&'static str, &str)],
        dialect: Dialect,
        api_key: Option<&str>,
    ) -> Vec<String> {
        let api_key = api_key.map(|key| key_value(dialect, key).unwrap());
        let mut upstream = HeaderMap::new();
        auth.caller(&headers(client)).unwrap().authorize(dialect, api_key.as_ref(), &mut upstream);
        upstream.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn in_passthrough_the_clients_own_credentials_go_upstream_and_nothing_is_added() {
        let own = [("authorization", "Bearer own"), ("x-api-key", "own-2")];
        assert_eq!(
            authorized(&Auth::Passthrough, &own, Dialect::AnthropicMessages, Some("theirs")),
            ["authorization: Bearer own", "x-api-key: own-2"]
        );
    }

    #[test]
    fn in_passthrough_a_client_without_credentials_has_the_upstreams_key() {
        let got = authorized(&Auth::Passthrough, &[], Dialect::AnthropicMessages, Some("theirs"));
        assert_eq!(got, ["x-api-key: theirs"]);
        assert!(authorized(&Auth::Passthrough, &[], Dialect::OpenAiChat, None).is_empty());
    }

    #[test]
    fn with_keys_only_the_upstreams_key_goes_upstream() {
        let client = [("authorization", "Bearer secret-1"), ("x-goog-api-key", "own")];
        assert_eq!(authorized(&keys(), &client, Dialect::OpenAiChat, Some("theirs")), ["authorization: Bearer theirs"]);
        assert!(authorized(&keys(), &client, Dialect::OpenAiChat, None).is_empty());
    }
}
