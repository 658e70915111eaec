//! A text that comes in pieces: a piece is let through once nothing in it can be part of a match that is still to come.

use regex_automata::{
    Anchored,
    hybrid::dfa::{Cache, DFA},
    util::start,
};

use super::{Redaction, placeholder};

/// The longest text that is kept to see what becomes of it; what is longer is masked.
const KEPT_MAX: usize = 16 << 10;
/// The same where it can't be told whether it becomes anything, as with word boundaries beside letters that are not ASCII.
const UNDECIDED_MAX: usize = 256;

/// The end of a text, as far as it may become a match.
#[derive(Default)]
pub(super) struct Tail {
    /// With the letter before it.
    kept: String,
    from: usize,
}

/// Searches that are under way, for any text.
pub(super) struct Searches {
    redaction: Redaction,
    caches: Vec<Cache>,
}

/// Where a match begins that is not decided, and what it would be called.
struct Open<'a> {
    at: usize,
    name: &'a str,
}

impl Tail {
    /// What may be let through, masked, now that this has come.
    pub(super) fn push(&mut self, text: &str, searches: &mut Searches) -> String {
        self.kept.push_str(text);
        let Open { at, name } = searches.open(&self.kept, self.from);
        let overflow = (self.kept.len() - at > KEPT_MAX).then(|| placeholder(name));
        let masked = searches.redaction.mask_within(&self.kept, self.from..at);
        let said = masked.unwrap_or_else(|| self.kept[self.from..at].to_owned());
        let end = if overflow.is_some() { self.kept.len() } else { at };
        let last = self.kept[..end].char_indices().next_back().map_or(0, |(last, _)| last);
        self.kept.drain(..last);
        self.from = end - last;
        said + &overflow.unwrap_or_default()
    }
}

impl Searches {
    pub(super) fn new(redaction: &Redaction) -> Self {
        let caches = redaction.0.iter().map(|pattern| pattern.growing.create_cache()).collect();
        Self { redaction: redaction.clone(), caches }
    }

    fn open(&mut self, text: &str, from: usize) -> Open<'_> {
        let mut first = Open { at: text.len(), name: "" };
        for (pattern, cache) in self.redaction.0.iter().zip(&mut self.caches) {
            let starts = text[from..].char_indices().map(|(at, _)| from + at);
            let mut starts = starts.take_while(|at| *at < first.at);
            if let Some(at) = starts.find(|at| is_open(&pattern.growing, cache, text, *at)) {
                first = Open { at, name: &pattern.name };
            }
        }
        // A match that is decided, and reaches beyond that, is not cut in two.
        let found = self.redaction.matches(text, from);
        while let Some((span, _)) = found.iter().find(|(span, _)| span.start < first.at && span.end > first.at) {
            first.at = span.start;
        }
        first
    }
}

/// Whether a match that begins there may go on behind the end of the text.
fn is_open(dfa: &DFA, cache: &mut Cache, text: &str, at: usize) -> bool {
    let undecided = text.len() - at <= UNDECIDED_MAX;
    let look_behind = at.checked_sub(1).map(|at| text.as_bytes()[at]);
    let config = start::Config::new().anchored(Anchored::Yes).look_behind(look_behind);
    let Ok(mut state) = dfa.start_state(cache, &config) else { return undecided };
    for byte in &text.as_bytes()[at..] {
        state = match dfa.next_state(cache, state, *byte) {
            Ok(state) if state.is_dead() => return false,
            Ok(state) if state.is_quit() => return undecided,
            Ok(state) => state,
            Err(_) => return undecided,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static REDACTION: LazyLock<Redaction> = LazyLock::new(|| {
        let patterns = [("api_keys", None), ("private_keys", None), ("employee", Some(r"\bE-\d{4}\b"))];
        Redaction::new(patterns).unwrap()
    });

    fn pushed(pieces: &[&str]) -> Vec<String> {
        let (mut tail, mut searches) = (Tail::default(), Searches::new(&REDACTION));
        pieces.iter().map(|piece| tail.push(piece, &mut searches)).collect()
    }

    #[test]
    fn what_may_become_a_match_waits_until_it_is_decided() {
        let said = pushed(&["a s", "k-ey ", "sk-abcdefghij", "klmnopqrstuvw", "xyz! ", "bye"]);
        assert_eq!(said, ["a ", "sk-ey ", "", "", "[redacted:api_keys]! ", "bye"]);
        let said = pushed(&["no E", "-12 and E-1", "234", ".", " So"]);
        assert_eq!(said, ["no ", "E-12 and ", "", "", "[redacted:employee]. So"]);
    }

    #[test]
    fn a_private_key_is_never_let_through_and_what_follows_it_is() {
        let said = pushed(&["-----BEGIN RSA PRIV", "ATE KEY-----\nabc", "def\n-----END RSA PRIVATE KEY-----", " so"]);
        assert_eq!(said.concat(), "[redacted:private_keys] so");
        let long = "x".repeat(KEPT_MAX + 1);
        let said = pushed(&["-----BEGIN PRIVATE KEY-----", &long, " and"]);
        assert_eq!(said[1], "[redacted:private_keys]");
    }

    #[test]
    fn letters_that_are_not_ascii_do_not_hold_a_text_back_for_ever() {
        let text = "Grüße, 这里没有秘密。".repeat(40);
        let said = pushed(&[&text]).concat();
        assert!(text.starts_with(&said) && text.len() - said.len() <= UNDECIDED_MAX, "{said}");
    }

    proptest! {
        #[test]
        fn however_a_text_is_cut_no_secret_gets_through(
            texts in prop::collection::vec("[a-z ü.E0-9-]{0,12}", 1..6),
            cuts in prop::collection::vec(1_usize..9, 1..12),
        ) {
            let secret = "sk-Zyxwvutsrqponmlkjihgfedcba";
            let text = texts.join(&format!(" {secret} "));
            let (mut rest, mut pieces, mut cuts) = (text.as_str(), Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let at = rest.ceil_char_boundary((*cuts.next().unwrap()).min(rest.len()));
                pieces.push(&rest[..at]);
                rest = &rest[at..];
            }
            let said = pushed(&pieces);
            // Not even the beginning of one, at any time.
            prop_assert!(!said.concat().contains("sk-Z"), "{:?}", said);
            let whole = REDACTION.mask(&text).unwrap_or(text);
            prop_assert!(whole.starts_with(&said.concat()), "{:?} of {:?}", said, whole);
        }
    }
}
