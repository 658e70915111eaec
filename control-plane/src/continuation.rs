//! Calls that go on from a response which the provider remembers.
//!
//! A client may leave the history of a conversation to the provider, and name a response to go on from. What the provider
//! remembers is what the model said, not what the client got: calls of tools that a policy refused stand there without an
//! answer, and the provider takes no further turn. So it is remembered of each response that a provider keeps which calls
//! the client never got ([`Answered`]), and a call that goes on from it answers them, by an edit of its request
//! ([`Continuations::before`]).

mod answered;
mod answers;
mod asked;
mod memory;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use luthien_policy::Before;
use luthien_proto::message::{Admission, AdmissionDecision, CallStarted, Edit, Outcome, Reject};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::warn;
use uuid::Uuid;

pub use answered::{Answered, Withheld};
pub use asked::Asked;
use memory::{Memory, State};

use crate::record::{Store, StoreError, Summary};

/// How long is waited, again and again, for what is not known to become so: a client may go on from a response before the
/// end of its call is durable.
const WAITS_MS: [u64; 6] = [10, 30, 80, 180, 400, 1000];
/// How many of these waits are for a response of which nothing at all is known.
const WAITS_FOR_UNKNOWN: usize = 4;
/// How long all that may take: the proxy is not told meanwhile that anybody is at work.
const LOOKUP_MAX: Duration = Duration::from_secs(4);

/// What is known of responses that providers keep; for any thread, cheap to clone.
#[derive(Clone)]
pub struct Continuations {
    memory: Arc<Mutex<Memory>>,
    questions: mpsc::UnboundedSender<Question>,
}

/// What asks the store. It runs where the record is written.
pub struct Lookups {
    store: Arc<dyn Store>,
    questions: mpsc::UnboundedReceiver<Question>,
}

struct Question {
    asked: Asked,
    answer: oneshot::Sender<Result<Vec<Summary>, StoreError>>,
}

/// What is known of that from which a call goes on.
enum Known {
    /// All of it.
    Response(Answered),
    /// No change of the conversation is on record.
    Unchanged,
    /// A response of the conversation was changed.
    Changed,
    /// The response is not on record.
    Nothing,
    /// How it ended is not.
    Running,
}

/// Nobody can say.
struct Unavailable;

impl Continuations {
    /// With what asks the store for it.
    pub fn new(store: Arc<dyn Store>) -> (Self, Lookups) {
        let (questions, asked) = mpsc::unbounded_channel();
        (Self { memory: Arc::default(), questions }, Lookups { store, questions: asked })
    }

    /// What has to be done with a call before any policy sees it: nothing, at once, if it goes on from nothing. Of a call
    /// that was admitted and is taken over, what was done.
    pub async fn before(&self, started: &CallStarted, admission: Option<&Admission>) -> Before {
        if let Some(admission) = admission {
            return edits_of(admission).into();
        }
        let Some(asked) = Asked::of(started) else { return Before::default() };
        if asked == Asked::Unreadable {
            return unless_ungated("what this request goes on from can't be read, so it can't be checked");
        }
        if let Asked::Conversation(id) = &asked {
            self.memory().begin(client_of(started), id, started.call_id, Instant::now());
        }
        match timeout(LOOKUP_MAX, self.find(&asked, started)).await.unwrap_or(Err(Unavailable)) {
            Ok(Known::Response(answered)) => answering(&answered, started),
            Ok(Known::Unchanged) => Before::default(),
            Ok(Known::Changed) => rejected(
                400,
                "a response of this conversation was changed by a policy, and the provider's memory of it was not: \
                 begin another conversation",
            ),
            Ok(Known::Nothing) => unless_ungated(
                "the response that this request goes on from is not on record here: send the whole conversation instead",
            ),
            Ok(Known::Running) => unless_ungated(
                "how the response ended that this request goes on from is not known (yet): try again, or send the whole \
                 conversation instead",
            ),
            Err(Unavailable) => rejected(503, "what this request goes on from can't be looked up at present"),
        }
    }

    /// Takes note of a call that is over, if it is known how it ended: one that is not may go on elsewhere.
    pub fn remember(&self, summary: &Summary) {
        let Summary { call_id, client, answered, .. } = summary;
        if summary.outcome.is_none_or(|outcome| outcome == Outcome::Unknown) {
            return;
        }
        if answered.conversation.is_some() {
            self.memory().end(*call_id, answered.changed);
        }
        if let Some(id) = &answered.response_id {
            self.memory().insert_response(client.as_deref(), id, answered.clone());
        }
    }

    async fn find(&self, asked: &Asked, started: &CallStarted) -> Result<Known, Unavailable> {
        let mut found = self.look(asked, started).await;
        for (tries, wait) in WAITS_MS.into_iter().enumerate() {
            match found {
                Ok(Known::Response(_) | Known::Unchanged | Known::Changed) => break,
                Ok(Known::Nothing) if tries >= WAITS_FOR_UNKNOWN => break,
                Ok(Known::Nothing | Known::Running) | Err(Unavailable) => {}
            }
            sleep(Duration::from_millis(wait)).await;
            found = self.look(asked, started).await;
        }
        found
    }

    async fn look(&self, asked: &Asked, started: &CallStarted) -> Result<Known, Unavailable> {
        let client = client_of(started);
        match asked {
            Asked::Response(id) => {
                if let Some(answered) = self.memory().response(client, id) {
                    return Ok(Known::Response(answered.clone()));
                }
            }
            Asked::Conversation(id) => match self.memory().conversation(client, id, started.call_id) {
                State::Changed => return Ok(Known::Changed),
                State::Running => return Ok(Known::Running),
                State::Unchanged => {}
            },
            Asked::Unreadable => {}
        }
        let calls = self.ask(asked.clone()).await?;
        Ok(known(asked, calls.iter().filter(|call| is_of(call, client, started.call_id))))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, asked: Asked) -> Result<Vec<Summary>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { asked, answer }).map_err(|_| Unavailable)?;
        match answered.await {
            Ok(Ok(calls)) => Ok(calls),
            Ok(Err(error)) => {
                warn!(%error, "what a call goes on from can't be looked up");
                Err(Unavailable)
            }
            Err(_) => Err(Unavailable),
        }
    }
}

impl Lookups {
    /// Asks the store until nobody asks any more.
    pub async fn run(mut self) {
        while let Some(Question { asked, answer }) = self.questions.recv().await {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move {
                // Who asked may have gone.
                let _ = answer.send(store.continued(&asked).await);
            });
        }
    }
}

/// What the edits of an Admission were before any policy saw the request.
fn edits_of(admission: &Admission) -> Vec<Edit> {
    match &admission.decision {
        AdmissionDecision::Forward(forward) => {
            forward.edits.iter().filter(|edit| answers::is_ours(edit)).cloned().collect()
        }
        AdmissionDecision::Reject(_) | AdmissionDecision::Answer(_) => Vec::new(),
    }
}

fn answering(answered: &Answered, started: &CallStarted) -> Before {
    match answers::to(&answered.withheld, &started.request, started.dialect) {
        Ok(edits) => edits.into(),
        Err(kind) => rejected(
            400,
            &format!(
                "the response that this request goes on from holds a {kind} that was refused by policy, and that only \
                 its client can answer: send the whole conversation instead"
            ),
        ),
    }
}

fn rejected(status: u16, message: &str) -> Before {
    Before { reject: Some(reject(status, message)), ..Before::default() }
}

fn unless_ungated(message: &str) -> Before {
    Before { reject_if_gated: Some(reject(400, message)), ..Before::default() }
}

fn reject(status: u16, message: &str) -> Reject {
    Reject { status, type_: String::new(), message: message.to_owned() }
}

fn client_of(started: &CallStarted) -> Option<&str> {
    Some(started.client.as_str()).filter(|client| !client.is_empty())
}

/// Whether a call is one of that client, and another one than this.
fn is_of(call: &Summary, client: Option<&str>, this: Uuid) -> bool {
    call.client.as_deref() == client && call.call_id != this
}

fn known<'a>(asked: &Asked, mut calls: impl Iterator<Item = &'a Summary> + Clone) -> Known {
    let is_running = calls.clone().any(|call| call.outcome.is_none());
    match asked {
        Asked::Response(_) => match calls.find(|call| call.outcome.is_some()) {
            Some(call) => Known::Response(call.answered.clone()),
            None if is_running => Known::Running,
            None => Known::Nothing,
        },
        Asked::Conversation(_) if calls.any(|call| call.answered.changed) => Known::Changed,
        Asked::Conversation(_) if is_running => Known::Running,
        Asked::Conversation(_) => Known::Unchanged,
        Asked::Unreadable => Known::Nothing,
    }
}
