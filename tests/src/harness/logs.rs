//! What a program said, line by line: on stderr its log, one JSON object per line.

use std::{
    io::{BufRead, BufReader, Read},
    sync::Arc,
    thread,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::peers::within;

/// A line of a log.
#[derive(Clone, Debug)]
pub struct Line {
    /// The line, as it is.
    pub text: String,
    json: Value,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Someone must act.
    Error,
    /// Anything else.
    Other,
}

impl Line {
    fn new(text: String) -> Self {
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { text, json }
    }

    /// How grave it is.
    pub fn level(&self) -> Level {
        match self.json["level"].as_str() {
            Some("ERROR") => Level::Error,
            _ => Level::Other,
        }
    }

    /// The text of a field; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }
}

/// All lines so far.
#[derive(Clone, Debug)]
pub(super) struct Logs {
    lines: Arc<watch::Sender<Vec<Line>>>,
    over: watch::Receiver<bool>,
}

impl Logs {
    /// Reads what a program says, to its end.
    pub(super) fn read(output: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(watch::Sender::new(Vec::new()));
        let (over_sender, over) = watch::channel(false);
        let to = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                to.send_modify(|lines| lines.push(Line::new(line)));
            }
            let _ = over_sender.send(true);
        });
        Self { lines, over }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.borrow().clone()
    }

    pub(super) fn text(&self) -> String {
        self.lines.borrow().iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Waits for a line.
    ///
    /// # Panics
    /// When the program ends without it.
    pub(super) async fn find(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut receiver = self.lines.subscribe();
        let mut over = self.over.clone();
        let found = within(what, async {
            loop {
                let ended = *over.borrow_and_update();
                let found = receiver.borrow_and_update().iter().find(|line| wanted(line)).cloned();
                if found.is_some() || ended {
                    return found;
                }
                tokio::select! {
                    _ = receiver.changed() => {}
                    _ = over.changed() => {}
                }
            }
        });
        found.await.unwrap_or_else(|| panic!("the program ended without {what}; it said:\n{}", self.text()))
    }

    /// Waits until the program has said all.
    pub(super) async fn complete(&self) {
        let mut over = self.over.clone();
        within("the end of a log", async {
            let _ = over.wait_for(|over| *over).await;
        })
        .await;
    }
}
