//! What an upstream lists, kept for a little while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, header};
use jiff::Timestamp;
use luthien_proto::request::Dialect;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::Model;
use crate::{
    auth::Caller,
    driver,
    plane::Plane,
    refusal::Refusal,
    relay,
    routes::{Asked, Upstream, family},
};

/// How long an upstream is waited for. Agents wait for three seconds themselves.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a list is good for; and how long it is not asked for again when there was none.
const KEPT: Duration = Duration::from_secs(60);
const KEPT_FAILURE: Duration = Duration::from_secs(5);
/// Lists of so many upstreams and credentials are kept.
const LISTS: usize = 64;
/// The largest list that is read.
const LARGEST: usize = 4 * 1024 * 1024;

/// The lists that are kept.
#[derive(Default)]
pub(crate) struct Listings(Mutex<HashMap<Key, Kept>>);

/// An upstream, and whom it told.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(String, [u8; 32]);

struct Kept {
    until: Instant,
    models: Arc<Vec<Model>>,
}

/// What an upstream lists; nothing, if it can't be had: the models of others are no worse for it.
pub(super) async fn listed_by(
    plane: &Plane,
    upstream: &Upstream,
    dialect: Dialect,
    caller: &Caller,
) -> Arc<Vec<Model>> {
    let mut headers = HeaderMap::new();
    if caller.authorize(dialect, upstream, &mut headers).is_err() {
        return Arc::default();
    }
    let key = Key(upstream.name.clone(), digest(&headers));
    if let Some(models) = plane.listings().get(&key) {
        return models;
    }
    let fetched = fetch(plane, upstream, headers).await;
    if let Err(why) = &fetched {
        warn!(upstream = upstream.name, why, "the models of an upstream can't be listed");
    }
    let (models, kept) = fetched.map_or((Arc::default(), KEPT_FAILURE), |models| (Arc::new(models), KEPT));
    plane.listings().keep(key, models.clone(), kept);
    models
}

async fn fetch(plane: &Plane, upstream: &Upstream, mut headers: HeaderMap) -> Result<Vec<Model>, String> {
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if upstream.dialect == Dialect::AnthropicMessages {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    let uri = upstream.uri(Asked::Models, None).ok_or("its URL can't be made")?;
    let mut request = Request::new(crate::upstream::whole_body(bytes::Bytes::new()));
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let fetched =
        relay::fetch(plane, request, LARGEST, PATIENCE).await.map_err(|refusal: Refusal| refusal.to_string())?;
    if !fetched.status.is_success() {
        return Err(format!("it answers with status {}", fetched.status.as_u16()));
    }
    let listed: Value = serde_json::from_slice(&fetched.body).map_err(|_| "its answer is not JSON")?;
    read(upstream.dialect, &listed).ok_or_else(|| "its answer is no list of models".to_owned())
}

fn read(dialect: Dialect, listed: &Value) -> Option<Vec<Model>> {
    let text = |model: &Value, key: &str| Some(model.get(key)?.as_str()?.to_owned());
    let model = |told: &Value| match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages => Some(Model {
            id: text(told, "id")?,
            display_name: text(told, "display_name"),
            created: told.get("created").and_then(Value::as_i64).or_else(|| {
                let at: Timestamp = told.get("created_at")?.as_str()?.parse().ok()?;
                Some(at.as_second())
            }),
            told: Some((family(dialect), told.clone())),
        }),
        Dialect::Gemini => {
            let methods = told.get("supportedGenerationMethods").and_then(Value::as_array);
            let generates = methods.is_none_or(|methods| methods.iter().any(|method| method == "generateContent"));
            let name = text(told, "name").filter(|_| generates)?;
            Some(Model {
                id: name.strip_prefix("models/").unwrap_or(&name).to_owned(),
                display_name: text(told, "displayName"),
                created: None,
                told: None,
            })
        }
    };
    let list = listed.get("data").or_else(|| listed.get("models"))?.as_array()?;
    Some(list.iter().filter_map(model).collect())
}

fn digest(headers: &HeaderMap) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, value) in headers {
        digest.update((name.as_str().len() as u64).to_le_bytes());
        digest.update(name.as_str());
        digest.update((value.len() as u64).to_le_bytes());
        digest.update(value);
    }
    digest.finalize().into()
}

impl Listings {
    fn get(&self, key: &Key) -> Option<Arc<Vec<Model>>> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(key).filter(|kept| driver::now() < kept.until).map(|kept| kept.models.clone())
    }

    fn keep(&self, key: Key, models: Arc<Vec<Model>>, period: Duration) {
        let now = driver::now();
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= LISTS {
            lists.retain(|_, kept| now < kept.until);
        }
        if lists.len() >= LISTS {
            lists.clear();
        }
        lists.insert(key, Kept { until: now + period, models });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_dialects_list_is_read() {
        let seen = |dialect, listed: Value| {
            let models = read(dialect, &listed)?;
            let line = |model: Model| format!("{} {:?} {:?}", model.id, model.display_name, model.created);
            Some(models.into_iter().map(line).collect::<Vec<_>>().join("\n"))
        };
        let openai = json!({"object": "list", "data": [{"id": "gpt-5", "object": "model", "created": 5}, {"id": 7}]});
        assert_eq!(seen(Dialect::OpenAiChat, openai).unwrap(), "gpt-5 None Some(5)");
        let anthropic = json!({"data": [
            {"type": "model", "id": "claude-a", "display_name": "Claude A", "created_at": "1970-01-01T00:01:00Z"}
        ]});
        assert_eq!(seen(Dialect::AnthropicMessages, anthropic).unwrap(), r#"claude-a Some("Claude A") Some(60)"#);
        let gemini = json!({"models": [
            {"name": "models/gemini-x", "displayName": "X", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]}
        ]});
        assert_eq!(seen(Dialect::Gemini, gemini).unwrap(), r#"gemini-x Some("X") None"#);
        assert_eq!(seen(Dialect::OpenAiChat, json!({"error": {}})), None);
    }
}
