//! Replacing in a text that comes in pieces, holding back only what may still become a match.

use aho_corasick::automaton::StateID;

use super::finder::{Finder, Step};

/// The replacement of one text.
#[derive(Debug)]
pub(super) struct Stream {
    /// What is held back: it begins with what may become a match.
    text: String,
    /// How much of it has been read.
    read: usize,
    state: StateID,
    /// The best match in `text` so far, which more text may make longer.
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    start: usize,
    end: usize,
    pattern: usize,
}

impl Stream {
    pub fn new(finder: &Finder) -> Self {
        Self { text: String::new(), read: 0, state: finder.start(), found: None }
    }

    /// Takes in a piece. What is clear comes out; `None`: it is just this piece, and nothing is held back.
    pub fn push(&mut self, finder: &Finder, piece: &str) -> Option<String> {
        let held_back = self.holds_back();
        if !held_back && finder.passes(piece.as_bytes()) {
            return None;
        }
        self.text.push_str(piece);
        let mut clear = String::new();
        let mut is_changed = held_back;
        let mut done = 0;
        while self.read < self.text.len() {
            is_changed |= self.step(finder, &mut done, &mut clear);
            self.skip(finder);
        }
        // A match that was found may lie within the beginning of another, which would come before it.
        let begun = self.text.len() - finder.depth(self.state);
        let keep = self.found.map_or(begun, |found| found.start.min(begun));
        if !is_changed && keep == self.text.len() {
            self.forget(keep);
            return None;
        }
        clear.push_str(&self.text[done..keep]);
        self.forget(keep);
        Some(clear)
    }

    /// Whether something is held back.
    pub fn holds_back(&self) -> bool {
        !self.text.is_empty()
    }

    /// The text is whole: what was held back comes out; `None`: nothing was.
    pub fn finish(&mut self, finder: &Finder) -> Option<String> {
        let mut clear = String::new();
        let mut done = 0;
        while let Some(found) = self.found.take() {
            self.commit(finder, found, &mut done, &mut clear);
            while self.read < self.text.len() {
                self.step(finder, &mut done, &mut clear);
                self.skip(finder);
            }
        }
        clear.push_str(&self.text[done..]);
        let was_held_back = !self.text.is_empty();
        *self = Self::new(finder);
        was_held_back.then_some(clear)
    }

    /// A whole text at once; `None`: nothing was found in it.
    pub fn whole(mut self, finder: &Finder, text: &str) -> Option<String> {
        let clear = self.push(finder, text)?;
        let whole = clear + &self.finish(finder).unwrap_or_default();
        (whole != text).then_some(whole)
    }

    /// Where nothing is under way, goes on where something may begin.
    fn skip(&mut self, finder: &Finder) {
        if self.state == finder.start() && self.found.is_none() {
            self.read += finder.skip(&self.text.as_bytes()[self.read..]);
        }
    }

    /// Reads one byte; whether that settled a match.
    fn step(&mut self, finder: &Finder, done: &mut usize, clear: &mut String) -> bool {
        let byte = self.text.as_bytes()[self.read];
        self.read += 1;
        match finder.step(&mut self.state, byte) {
            Step::Seek => false,
            Step::Found { length, pattern } => {
                self.found = Some(Found { start: self.read - length, end: self.read, pattern });
                false
            }
            Step::Complete { length, pattern } => {
                self.found = None;
                let found = Found { start: self.read - length, end: self.read, pattern };
                self.commit(finder, found, done, clear);
                true
            }
            Step::Dead => {
                // The automaton dies only behind a match.
                let found = self.found.take();
                found.map(|found| self.commit(finder, found, done, clear)).is_some()
            }
        }
    }

    /// A match is settled: what stands before it is clear, and reading goes on behind it.
    fn commit(&mut self, finder: &Finder, found: Found, done: &mut usize, clear: &mut String) {
        clear.push_str(&self.text[*done..found.start]);
        clear.push_str(&finder.replacement(found.pattern, &self.text[found.start..found.end]));
        *done = found.end;
        self.read = found.end;
        self.state = finder.start();
    }

    /// Lets go of what came out.
    fn forget(&mut self, keep: usize) {
        self.text.drain(..keep);
        self.read -= keep;
        if let Some(found) = &mut self.found {
            found.end -= keep;
            found.start -= keep;
        }
    }
}
