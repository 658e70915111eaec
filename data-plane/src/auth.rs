//! Who a client is, and which credentials its call has upstream.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use luthien_proto::request::Dialect;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    config,
    headers::CREDENTIALS,
    refusal::Refusal,
    routes::{Credentials, Upstream},
};

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
    /// The same for all calls with the same credentials; tells nothing of them.
    pub(crate) identity: [u8; 32],
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
            Self::Passthrough => {
                let credentials = own_credentials(headers);
                Ok(Caller { name: String::new(), identity: identity(&credentials), credentials })
            }
            Self::Keys(keys) => {
                let presented = presented(headers);
                if presented.is_empty() {
                    return Err(Refusal::NoKey);
                }
                let known = presented.iter().find_map(|key| find(keys, key));
                let key = known.ok_or(Refusal::WrongKey)?;
                Ok(Caller { name: key.name.clone(), identity: key.digest, credentials: HeaderMap::new() })
            }
        }
    }
}

impl Caller {
    /// Nobody: there is no call.
    pub(crate) fn nobody() -> Self {
        Self { name: String::new(), identity: [0; 32], credentials: HeaderMap::new() }
    }

    /// Adds what authorizes the request upstream: the caller's own credentials, where they are for that provider; or else
    /// the upstream's own.
    ///
    /// # Errors
    /// The caller's credentials, in that dialect, are for another provider, and the upstream has none.
    pub(crate) fn authorize(
        &self,
        dialect: Dialect,
        upstream: &Upstream,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let fits = upstream.takes_credentials_of(dialect);
        match &upstream.credentials {
            _ if fits && !self.credentials.is_empty() => headers.extend(self.credentials.clone()),
            Some(Credentials { name, value }) => drop(headers.insert(name, value.clone())),
            None if fits || self.credentials.is_empty() => {}
            None => {
                return Err(Refusal::ForeignKey { upstream: upstream.name.clone(), dialect: upstream.dialect.name() });
            }
        }
        Ok(())
    }
}

/// A provider's key in the header that its dialect has for it. `None`: no header can carry it.
pub(crate) fn api_key(dialect: Dialect, key: &str) -> Option<Credentials> {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => bearer_token(key),
        Dialect::AnthropicMessages => credentials(X_API_KEY, key),
        Dialect::Gemini => credentials(X_GOOG_API_KEY, key),
    }
}

/// A token. `None`: no header can carry it.
pub(crate) fn bearer_token(token: &str) -> Option<Credentials> {
    credentials(header::AUTHORIZATION, &format!("Bearer {token}"))
}

fn credentials(name: HeaderName, text: &str) -> Option<Credentials> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(Credentials { name, value })
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

fn identity(credentials: &HeaderMap) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, value) in credentials {
        digest.update(Sha256::digest(name.as_str()));
        digest.update(Sha256::digest(value.as_bytes()));
    }
    digest.finalize().into()
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
        dialects: (Dialect, Dialect),
        key: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let (dialect, upstream_dialect) = dialects;
        let upstream = Upstream {
            name: "it".to_owned(),
            dialect: upstream_dialect,
            base: "https://h".to_owned(),
            credentials: key.map(|key| api_key(upstream_dialect, key).unwrap()),
            forward_traceparent: false,
            options: Default::default(),
        };
        let mut sent = HeaderMap::new();
        let caller = auth.caller(&headers(client)).unwrap();
        caller.authorize(dialect, &upstream, &mut sent).map_err(|refusal| refusal.to_string())?;
        Ok(sent.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
    }

    #[test]
    fn who_has_the_same_credentials_is_the_same() {
        let identity = |auth: &Auth, lines: &[_]| auth.caller(&headers(lines)).unwrap().identity;
        let (one, other) = ([("authorization", "Bearer secret-1")], [("x-api-key", "secret-2")]);
        for auth in [Auth::Passthrough, keys()] {
            assert_eq!(identity(&auth, &one), identity(&auth, &one));
            assert_ne!(identity(&auth, &one), identity(&auth, &other));
        }
        assert_ne!(identity(&Auth::Passthrough, &one), identity(&Auth::Passthrough, &[]));
    }

    const CHAT: (Dialect, Dialect) = (Dialect::OpenAiChat, Dialect::OpenAiChat);
    const MESSAGES: (Dialect, Dialect) = (Dialect::AnthropicMessages, Dialect::AnthropicMessages);

    #[test]
    fn in_passthrough_the_clients_own_credentials_go_upstream_and_nothing_is_added() {
        let own = [("authorization", "Bearer own"), ("x-api-key", "own-2")];
        assert_eq!(
            authorized(&Auth::Passthrough, &own, MESSAGES, Some("theirs")).unwrap(),
            ["authorization: Bearer own", "x-api-key: own-2"]
        );
    }

    #[test]
    fn in_passthrough_credentials_go_to_no_other_provider() {
        let own = [("authorization", "Bearer own")];
        let to = |upstream, key| authorized(&Auth::Passthrough, &own, (Dialect::OpenAiChat, upstream), key);
        assert_eq!(to(Dialect::OpenAiResponses, Some("theirs")).unwrap(), ["authorization: Bearer own"]);
        assert_eq!(to(Dialect::AnthropicMessages, Some("theirs")).unwrap(), ["x-api-key: theirs"]);
        assert_eq!(to(Dialect::Gemini, Some("theirs")).unwrap(), ["x-goog-api-key: theirs"]);
        let refusal = to(Dialect::Gemini, None).unwrap_err();
        assert!(refusal.contains("`it`") && refusal.contains("api_key"), "{refusal}");
    }

    #[test]
    fn in_passthrough_a_client_without_credentials_has_the_upstreams_key() {
        let got = authorized(&Auth::Passthrough, &[], MESSAGES, Some("theirs")).unwrap();
        assert_eq!(got, ["x-api-key: theirs"]);
        assert!(authorized(&Auth::Passthrough, &[], CHAT, None).unwrap().is_empty());
    }

    #[test]
    fn with_keys_only_the_upstreams_key_goes_upstream() {
        let client = [("authorization", "Bearer secret-1"), ("x-goog-api-key", "own")];
        assert_eq!(authorized(&keys(), &client, CHAT, Some("theirs")).unwrap(), ["authorization: Bearer theirs"]);
        assert!(authorized(&keys(), &client, CHAT, None).unwrap().is_empty());
    }
}
