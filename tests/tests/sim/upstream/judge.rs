//! The model that is asked about tool calls: it dislikes deletions, thinks for a while, and may have to be asked twice.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use serde_json::json;
use tokio::{io::AsyncWriteExt, time::sleep};
use turmoil::net::TcpStream;

use crate::{
    plan::{self, JUDGE, Plan},
    rng::Rng,
    trace::{Consult, Trace},
};

pub struct Judge {
    seed: u64,
    plan: plan::Judge,
    /// What it was asked already.
    asked: RefCell<BTreeSet<String>>,
}

/// Whether a request is a question to it.
pub fn is_asked(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(JUDGE)
}

impl Judge {
    pub fn new(plan: &Plan) -> Self {
        Self { seed: plan.seed, plan: plan.judge, asked: RefCell::default() }
    }

    pub async fn answer(
        &self,
        stream: &mut TcpStream,
        body: &[u8],
        credentials: &str,
        trace: &Trace,
    ) -> std::io::Result<()> {
        let text = String::from_utf8_lossy(body);
        let Some((call, tool)) = subject(&text) else { return Ok(()) };
        let what = format!("call {call}, tool {tool}");
        let again = !self.asked.borrow_mut().insert(what.clone());
        let mut rng = Rng::new(self.seed, &what);
        let (wait, is_confused) = (rng.within(0..=self.plan.slow), rng.chance(self.plan.confused) && !again);
        let credentials = credentials.to_owned();
        let consult = trace.consulted(Consult { call, tool, credentials, confused: is_confused, answered: None });
        sleep(Duration::from_millis(wait)).await;
        let (probability, explanation) = if text.contains("delete_") { (0.9, "it deletes") } else { (0.1, "it reads") };
        let opinion = match is_confused {
            true => "What a call!".to_owned(),
            false => json!({ "probability": probability, "explanation": explanation }).to_string(),
        };
        let message = json!({ "role": "assistant", "content": opinion, "refusal": null });
        let answer = json!({
            "id": "chatcmpl-j", "object": "chat.completion", "created": 1, "model": "judge-1",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop", "logprobs": null }],
            "usage": { "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12 },
        });
        let answer = answer.to_string();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        trace.answered(consult);
        stream.write_all((head + &answer).as_bytes()).await?;
        stream.shutdown().await
    }
}

/// Which call of a tool it is about: its arguments say so.
fn subject(text: &str) -> Option<(usize, usize)> {
    text.match_indices("/c").find_map(|(at, begun)| {
        let (call, behind) = text[at + begun.len()..].split_once("/t")?;
        let (tool, _) = behind.split_once('/')?;
        Some((call.parse().ok()?, tool.parse().ok()?))
    })
}
