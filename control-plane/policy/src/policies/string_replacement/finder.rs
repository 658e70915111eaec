//! Finding every pair's first string with one automaton.

use std::collections::BTreeMap;

use aho_corasick::{
    AhoCorasick, Anchored, MatchKind,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};
use serde_json::Value;

use super::{
    casing::{capitalised, cased_as},
    stream::Stream,
};
use crate::policies::strings::{Part, change_strings, escape, is_json, parts, unescape};

/// Fewer bytes are read by steps in less time than the search takes to begin.
const SKIP_MIN: usize = 64;

/// Finds the leftmost match; of several at one position, that of the earliest pair.
pub(super) struct Finder {
    automaton: NFA,
    start: StateID,
    /// Finds the same, and looks at many bytes at once.
    search: AhoCorasick,
    /// The length of the longest pattern.
    longest: usize,
    /// What is known of each state that a pair's first string leads to.
    states: BTreeMap<StateID, Known>,
    patterns: Vec<Pattern>,
    pairs: Vec<(String, String)>,
    capitalization: Capitalization,
}

/// Whether the case of letters matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capitalization {
    /// It does.
    Exact,
    /// It does not, and a replacement is cased as what it replaces.
    Match,
}

/// A string that is looked for, and its pair.
struct Pattern {
    length: usize,
    pair: usize,
}

/// A state of the automaton: the longest end of what was read with which a match may begin.
#[derive(Clone, Copy)]
struct Known {
    depth: usize,
    /// Whether more text could still make a better match of the one that was found here.
    may_grow: bool,
}

/// What the automaton says to one more byte.
pub(super) enum Step {
    /// Nothing was found, yet.
    Seek,
    /// Something was found that ends here; more text may make it longer.
    Found { length: usize, pattern: usize },
    /// Something was found that ends here, and that is it.
    Complete { length: usize, pattern: usize },
    /// What was found before can't become longer.
    Dead,
}

impl Finder {
    /// Makes the automaton of pairs whose first strings are not empty.
    pub fn new(pairs: Vec<(String, String)>, capitalization: Capitalization) -> Result<Self, String> {
        let texts: Vec<(String, usize)> = pairs
            .iter()
            .enumerate()
            .flat_map(|(pair, (from, _))| variants(from, capitalization).into_iter().map(move |text| (text, pair)))
            .collect();
        let ignores_case = capitalization == Capitalization::Match;
        let automaton = NFA::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .ascii_case_insensitive(ignores_case)
            .prefilter(false)
            .build(texts.iter().map(|(text, _)| text))
            .map_err(|error| error.to_string())?;
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .ascii_case_insensitive(ignores_case)
            .build(texts.iter().map(|(text, _)| text))
            .map_err(|error| error.to_string())?;
        let longest = texts.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        let start = automaton.start_state(Anchored::No).map_err(|error| error.to_string())?;
        let states = states(&automaton, start, &texts);
        let patterns = texts.into_iter().map(|(text, pair)| Pattern { length: text.len(), pair }).collect();
        Ok(Self { automaton, start, search, longest, states, patterns, pairs, capitalization })
    }

    /// The state before any text.
    pub fn start(&self) -> StateID {
        self.start
    }

    /// Reads one byte.
    pub fn step(&self, state: &mut StateID, byte: u8) -> Step {
        *state = self.automaton.next_state(Anchored::No, *state, byte);
        if self.automaton.is_dead(*state) {
            return Step::Dead;
        }
        if !self.automaton.is_match(*state) {
            return Step::Seek;
        }
        let pattern = self.automaton.match_pattern(*state, 0).as_usize();
        let length = self.patterns[pattern].length;
        match self.states.get(state) {
            Some(Known { may_grow: false, .. }) => Step::Complete { length, pattern },
            Some(Known { may_grow: true, .. }) | None => Step::Found { length, pattern },
        }
    }

    /// How many of these bytes can be read without a step: no match begins in them, nor may one that ends behind the text.
    pub fn skip(&self, text: &[u8]) -> usize {
        let tail = text.len().saturating_sub(self.longest.saturating_sub(1));
        if tail < SKIP_MIN {
            return 0;
        }
        self.search.find(text).map_or(tail, |found| found.start().min(tail))
    }

    /// Whether nothing in a piece is a match, or may become one.
    pub fn passes(&self, piece: &[u8]) -> bool {
        let mut state = self.start;
        let tail = self.skip(piece);
        let seeks = piece[tail..].iter().all(|byte| matches!(self.step(&mut state, *byte), Step::Seek));
        seeks && self.depth(state) == 0
    }

    /// How many of the last bytes may be the beginning of a match.
    pub fn depth(&self, state: StateID) -> usize {
        self.states.get(&state).map_or(0, |known| known.depth)
    }

    /// What a match of the pattern is replaced by.
    pub fn replacement(&self, pattern: usize, found: &str) -> String {
        let (from, to) = &self.pairs[self.patterns[pattern].pair];
        match self.capitalization {
            Capitalization::Exact => to.clone(),
            Capitalization::Match => cased_as(found, from, to),
        }
    }

    /// Whether there is anything to replace in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.search.is_match(text)
    }

    /// A whole text, replaced; `None`: nothing was found in it.
    pub fn replace(&self, text: &str) -> Option<String> {
        Stream::new(self).whole(self, text)
    }

    /// A value with its strings replaced, keys aside.
    pub fn replace_json(&self, value: &Value) -> Option<Value> {
        change_strings(value, &|text| self.replace(text))
    }

    /// The arguments of a tool call, replaced inside their strings. What is not JSON is replaced as the text that it is,
    /// and inside its strings where those have escapes.
    pub fn replace_arguments(&self, arguments: &str) -> Option<String> {
        let is_json = is_json(arguments);
        let mut text = String::with_capacity(arguments.len());
        let mut plain = String::new();
        let mut is_changed = false;
        let flush = |plain: &mut String, text: &mut String| {
            let replaced = if is_json { None } else { self.replace(plain) };
            text.push_str(replaced.as_deref().unwrap_or(plain));
            plain.clear();
            replaced.is_some()
        };
        for part in parts(arguments) {
            match part {
                Part::Between(between) => plain.push_str(between),
                Part::Quoted { escaped, is_key, is_closed } => {
                    let unescaped = unescape(escaped);
                    let is_value = if is_json { !is_key } else { escaped.contains('\\') };
                    let replaced = is_value.then(|| self.replace(&unescaped)).flatten();
                    plain.push('"');
                    match replaced {
                        Some(replaced) => {
                            flush(&mut plain, &mut text);
                            text.push_str(&escape(&replaced));
                            is_changed = true;
                        }
                        None => plain.push_str(escaped),
                    }
                    if is_closed {
                        plain.push('"');
                    }
                }
            }
        }
        is_changed |= flush(&mut plain, &mut text);
        is_changed.then_some(text)
    }
}

/// The strings to look for. The automaton ignores the case of ASCII letters only; of others, the usual casings are added.
fn variants(from: &str, capitalization: Capitalization) -> Vec<String> {
    let mut variants = vec![from.to_owned()];
    if capitalization == Capitalization::Match && !from.is_ascii() {
        let lower = from.to_lowercase();
        variants.extend([capitalised(&lower), from.to_uppercase(), lower]);
    }
    variants
}

fn states(automaton: &NFA, start: StateID, texts: &[(String, usize)]) -> BTreeMap<StateID, Known> {
    let mut states = BTreeMap::new();
    for (text, _) in texts {
        let mut state = start;
        for (index, byte) in text.bytes().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            // What lies behind an earlier pair's match is never reached.
            if automaton.is_dead(state) {
                break;
            }
            let known = || Known { depth: index + 1, may_grow: !is_final(automaton, state) };
            states.entry(state).or_insert_with(known);
        }
    }
    states
}

fn is_final(automaton: &NFA, state: StateID) -> bool {
    let is_dead = |byte| automaton.is_dead(automaton.next_state(Anchored::No, state, byte));
    automaton.is_match(state) && (0..=u8::MAX).all(is_dead)
}
