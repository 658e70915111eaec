//! The questions that policies ask models: beside the call, and through no policy.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use http::{HeaderMap, Method, Request, StatusCode};
use luthien_call::{
    call::Input,
    conversion::{self, Target},
    dialect,
};
use luthien_proto::{
    Event, Step,
    event::CallError,
    message::{Consult, Credentials},
    request::Dialect,
};
use tracing::{Instrument, info};

use crate::{
    answers::{Answer, Key},
    auth::Caller,
    driver::now,
    headers,
    metrics::Consulted,
    plane::Plane,
    relay,
    routes::{Asked, Upstream},
    upstream::whole_body,
};

/// Who made the call that a question belongs to, and where that went.
pub(crate) struct Origin {
    pub(crate) caller: Caller,
    pub(crate) dialect: Dialect,
    pub(crate) upstream: Arc<Upstream>,
    /// The marker of the session; or empty.
    pub(crate) session: String,
}

/// The questions of one call that are being asked.
pub(crate) struct Consults<'a> {
    plane: &'a Plane,
    origin: Origin,
    running: FuturesUnordered<BoxFuture<'a, Option<Answered>>>,
    handles: HashMap<String, AbortHandle>,
}

/// An answer.
struct Answered {
    id: String,
    events: Vec<Event>,
    /// Whether it was given to an equal question before.
    reused: bool,
}

/// A question that can be asked.
struct Question {
    request: Request<crate::upstream::RequestBody>,
    dialect: Dialect,
    patience: Duration,
    /// By which an equal one is known.
    key: Option<Key>,
}

impl<'a> Consults<'a> {
    pub(crate) fn new(plane: &'a Plane, origin: Origin) -> Self {
        Self { plane, origin, running: FuturesUnordered::new(), handles: HashMap::new() }
    }

    /// Asks a question. [`Self::next`] gives the answer.
    pub(crate) fn ask(&mut self, consult: Consult) {
        let (plane, id) = (self.plane, consult.id.clone());
        let question = self.question(&consult);
        let began = now();
        let answered = async move {
            let (events, reused) = match question {
                Ok(question) => remember(plane, question, consult.reuse).await,
                Err(error) => (vec![failed(error)], false),
            };
            let error = events.iter().find_map(|event| match &event.step {
                Step::Failed(error) => Some(error.status),
                _ => None,
            });
            let duration_ms = now().saturating_duration_since(began).as_millis() as u64;
            info!(consult = consult.id, model = consult.request.model, error, reused, duration_ms, "consulted");
            plane.metrics().consulted(match (error, reused) {
                (_, true) => Consulted::Reused,
                (Some(_), false) => Consulted::Failed,
                (None, false) => Consulted::Answered,
            });
            Answered { id: consult.id, events, reused }
        };
        let (answered, handle) = abortable(answered.in_current_span());
        self.handles.insert(id, handle);
        self.running.push(Box::pin(async { answered.await.ok() }));
    }

    /// The answer is of no use any more.
    pub(crate) fn cancel(&mut self, id: &str) {
        if let Some(handle) = self.handles.remove(id) {
            handle.abort();
        }
    }

    /// What happens next on this side. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            match self.running.next().await {
                Some(Some(Answered { id, events, reused })) => {
                    self.handles.remove(&id);
                    return Input::Consulted { id, events, reused };
                }
                Some(None) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn question(&self, consult: &Consult) -> Result<Question, CallError> {
        let limits = self.plane.consult_limits();
        let (upstream, model) = find(self.plane, consult)?;
        if limits.upstreams.as_ref().is_some_and(|names| !names.contains(&upstream.name)) {
            return Err(error(403, format!("Upstream {} is not one that policies may consult", upstream.name)));
        }
        let to = Target { dialect: upstream.dialect, model: &model, options: &upstream.options };
        let body = conversion::question(&consult.request, &to).map_err(|why| error(400, why.to_string()))?;
        let asked = Asked::Call { model: &model, stream: false };
        let uri = upstream.uri(asked, None).ok_or_else(|| error(500, "The upstream has no such path".to_owned()))?;
        let mut headers = headers::to_foreign_upstream(&HeaderMap::new(), upstream.dialect);
        self.authorize(consult.credentials, &upstream, &mut headers)?;
        let Origin { caller, session, .. } = &self.origin;
        let key = Key::new(session, &caller.identity, &uri, &headers, &body);
        let mut request = Request::new(whole_body(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (Method::POST, uri, headers);
        let asked = consult.deadline_ms.map_or(limits.timeout, Duration::from_millis);
        Ok(Question { request, dialect: upstream.dialect, patience: asked.min(limits.timeout), key })
    }

    fn authorize(
        &self,
        credentials: Credentials,
        upstream: &Arc<Upstream>,
        headers: &mut HeaderMap,
    ) -> Result<(), CallError> {
        match credentials {
            Credentials::Caller if upstream.name == self.origin.upstream.name => {
                let Origin { caller, dialect, .. } = &self.origin;
                caller.authorize(*dialect, upstream, headers).map_err(|why| error(401, why.to_string()))
            }
            Credentials::Caller => {
                let why = format!("The caller's credentials are for upstream {}", self.origin.upstream.name);
                Err(error(403, format!("{why}, and not for {}", upstream.name)))
            }
            Credentials::Configured => match &upstream.credentials {
                Some(own) => {
                    headers.insert(&own.name, own.value.clone());
                    Ok(())
                }
                None => Err(error(401, format!("Upstream {} has no api_key in the configuration", upstream.name))),
            },
        }
    }
}

/// Where a question goes, and what the model is called there.
pub(crate) fn find(plane: &Plane, consult: &Consult) -> Result<(Arc<Upstream>, String), CallError> {
    let routes = plane.routes();
    let model = &consult.request.model;
    if consult.upstream.is_empty() {
        let route = routes.find(model).ok_or_else(|| error(404, format!("No route is for model {model}")))?;
        return Ok((route.upstream_for(Dialect::AnthropicMessages).clone(), route.upstream_model(model).to_owned()));
    }
    let upstream = routes.upstream(&consult.upstream);
    let upstream = upstream.ok_or_else(|| error(404, format!("No route leads to upstream {}", consult.upstream)))?;
    Ok((upstream.clone(), model.clone()))
}

/// Asks, unless an earlier answer will do and there is one; and whether it did. An answer that ended well is kept for
/// those who would take it.
async fn remember(plane: &Plane, question: Question, reuse: bool) -> (Vec<Event>, bool) {
    let (key, answers) = (question.key, plane.answers());
    let known = key.filter(|_| reuse).and_then(|key| answers.find(&key, now()));
    if let Some(events) = known {
        return (events, true);
    }
    let Answer { events, size } = answer(plane, question).await;
    let is_whole = events.last().is_some_and(|event| matches!(event.step, Step::Ended));
    if let Some(key) = key.filter(|key| is_whole && (reuse || answers.knows(key))) {
        answers.keep(key, Answer { events: events.clone(), size }, now());
    }
    (events, false)
}

/// Asks, and reads the whole answer.
async fn answer(plane: &Plane, question: Question) -> Answer {
    let Question { request, dialect, patience, .. } = question;
    match relay::fetch(plane, request, plane.consult_limits().answer, patience).await {
        Ok(fetched) => Answer { events: read(dialect, fetched.status, &fetched.body), size: fetched.body.len() },
        Err(refusal) => Answer { events: vec![failed(error(refusal.status(), refusal.to_string()))], size: 0 },
    }
}

/// What a model said. Of an error of the upstream, its words.
fn read(dialect: Dialect, status: StatusCode, body: &Bytes) -> Vec<Event> {
    if !status.is_success() {
        return vec![dialect::decode_error(dialect, status.as_u16(), body)];
    }
    match dialect::decode_whole(dialect, body) {
        Ok(events) if events.last().is_some_and(|event| event.step.is_last()) => events,
        Ok(_) => vec![failed(error(502, "The answer has no end".to_owned()))],
        Err(why) => vec![failed(error(502, format!("The answer can't be read: {why}")))],
    }
}

fn error(status: u16, message: String) -> CallError {
    CallError { status, message, ..CallError::default() }
}

pub(crate) fn failed(error: CallError) -> Event {
    Step::Failed(error).into()
}
