//! What was let through of a block, kept only where it is not what came: a text is kept once.

use luthien_proto::{event::Delta, json::Extras};

use crate::ContentEntry;

/// What was let through of a block up to now.
#[derive(Debug, Default)]
pub(super) enum Settled {
    /// Nothing.
    #[default]
    Nothing,
    /// What came, up to there.
    AsItCame(Extent),
    /// Something else.
    Otherwise(Box<ContentEntry>),
}

/// How far a content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    text: Option<usize>,
    arguments: Option<usize>,
    signature: bool,
    opaque: usize,
    extras: usize,
}

impl Settled {
    /// The block's beginning was let through.
    pub fn begin(begun: ContentEntry, original: Option<&ContentEntry>) -> Self {
        let at = Extent::of(&begun);
        match original {
            Some(original) if at.cut(original) == begun => Self::AsItCame(at),
            Some(_) | None => Self::Otherwise(begun.into()),
        }
    }

    /// A piece was. Of what never began nothing is let through.
    pub fn push(&mut self, delta: &Delta, extras: &Extras, original: Option<&ContentEntry>) {
        let has_it = |at: Extent| at.with_delta(delta, original?)?.with_extras(extras, original?);
        self.add(has_it, original, |content| content.push(delta, extras));
    }

    /// Unknown fields were.
    pub fn note(&mut self, extras: &Extras, original: Option<&ContentEntry>) {
        self.add(|at| at.with_extras(extras, original?), original, |content| content.note(extras));
    }

    /// A piece is about to come. It may take the place of one that was let through.
    pub fn before(&mut self, delta: &Delta, original: &ContentEntry) {
        if matches!(delta, Delta::Signature(_)) && original.signature.is_some() {
            self.part_from(original);
        }
    }

    fn part_from(&mut self, original: &ContentEntry) {
        if let Self::AsItCame(at) = self {
            *self = Self::Otherwise(at.cut(original).into());
        }
    }

    /// Whether that is all that came, and nothing else; if not, what it is.
    pub fn finish(self, original: Option<&ContentEntry>) -> (bool, Option<ContentEntry>) {
        let settled = match (self, original) {
            (Self::Nothing, original) => return (original.is_none(), None),
            (Self::AsItCame(at), Some(original)) if at == Extent::of(original) => return (true, None),
            (Self::AsItCame(at), original) => original.map(|original| at.cut(original)),
            (Self::Otherwise(settled), _) => Some(*settled),
        };
        if settled.as_ref() == original { (true, None) } else { (false, settled) }
    }

    fn add(
        &mut self,
        has_it: impl FnOnce(Extent) -> Option<Extent>,
        original: Option<&ContentEntry>,
        add: impl FnOnce(&mut ContentEntry),
    ) {
        if let Self::AsItCame(at) = *self {
            match (has_it(at), original) {
                (Some(further), _) => return *self = Self::AsItCame(further),
                (None, Some(original)) => self.part_from(original),
                (None, None) => {}
            }
        }
        if let Self::Otherwise(content) = self {
            add(content);
        }
    }
}

impl Extent {
    fn of(content: &ContentEntry) -> Self {
        Self {
            text: content.text.as_ref().map(String::len),
            arguments: content.arguments.as_ref().map(String::len),
            signature: content.signature.is_some(),
            opaque: content.opaque.len(),
            extras: content.extras.len(),
        }
    }

    /// A content up to here.
    fn cut(self, content: &ContentEntry) -> ContentEntry {
        let cut = |text: &Option<String>, at: Option<usize>| text.as_deref()?.get(..at?).map(str::to_owned);
        let ContentEntry { redacted, id, name, namespace, form, type_, json, .. } = content;
        ContentEntry {
            text: cut(&content.text, self.text),
            arguments: cut(&content.arguments, self.arguments),
            signature: content.signature.clone().filter(|_| self.signature),
            opaque: content.opaque.iter().take(self.opaque).cloned().collect(),
            extras: content.extras.iter().take(self.extras).cloned().collect(),
            redacted: redacted.clone(),
            id: id.clone(),
            name: name.clone(),
            namespace: namespace.clone(),
            form: *form,
            type_: type_.clone(),
            json: json.clone(),
        }
    }

    /// Behind a piece that is the next of the content; `None`: it is not.
    fn with_delta(self, delta: &Delta, content: &ContentEntry) -> Option<Self> {
        match delta {
            Delta::Text(piece) => {
                let text = behind(piece, self.text, content.text.as_deref())?;
                Some(Self { text: Some(text), ..self })
            }
            Delta::Arguments(piece) => {
                let arguments = behind(piece, self.arguments, content.arguments.as_deref())?;
                Some(Self { arguments: Some(arguments), ..self })
            }
            Delta::Signature(text) => {
                (content.signature.as_ref() == Some(text)).then_some(Self { signature: true, ..self })
            }
            Delta::Opaque(json) => {
                (content.opaque.get(self.opaque) == Some(json)).then_some(Self { opaque: self.opaque + 1, ..self })
            }
        }
    }

    /// Behind the next unknown fields of the content; of the same again there is nothing to tell.
    fn with_extras(mut self, extras: &Extras, content: &ContentEntry) -> Option<Self> {
        if extras.is_empty() {
            return Some(self);
        }
        let is_at = |at: usize| content.extras.get(at).is_some_and(|known| known.is_repeated_by(extras));
        if !self.extras.checked_sub(1).is_some_and(is_at) {
            is_at(self.extras).then_some(())?;
            self.extras += 1;
        }
        Some(self)
    }
}

/// Where a piece ends that begins at `at`; `None`: something else is there.
fn behind(piece: &str, at: Option<usize>, text: Option<&str>) -> Option<usize> {
    let at = at.unwrap_or(0);
    text?.get(at..)?.starts_with(piece).then_some(at + piece.len())
}

#[cfg(test)]
mod tests {
    use luthien_proto::{
        event::BlockKind,
        json::{self, Borrowed},
    };
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a chunk of a block may say: few words, so that what is said in place of another is often the same.
    fn piece() -> impl Strategy<Value = (Delta, Extras)> {
        let text = || prop::sample::select(vec!["a", "b", "ab", "ü", ""]).prop_map(str::to_owned);
        let delta = prop_oneof![
            text().prop_map(Delta::Text),
            text().prop_map(Delta::Arguments),
            text().prop_map(Delta::Signature),
            (0..2).prop_map(|n| Delta::Opaque(json!(n))),
        ];
        let extras = prop::sample::select(vec!["{}", "{}", r#"{"x":1}"#, r#"{"x":2}"#]);
        (delta, (extras, any::<bool>()).prop_map(|(extras, as_text)| spelled(extras, as_text)))
    }

    /// As they come from a proxy, or as a policy makes them.
    fn spelled(extras: &'static str, as_text: bool) -> Extras {
        match json::read(extras.as_bytes()) {
            Ok(Borrowed::Object(fields)) if as_text => fields.into(),
            Ok(_) | Err(_) => Extras::from_text(extras).unwrap(),
        }
    }

    #[derive(Clone, Debug)]
    enum Happens {
        Comes(Delta, Extras),
        /// The next one that came is let through as it is.
        Passes,
        /// Something else is let through.
        IsPut(Delta, Extras),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            4 => piece().prop_map(|(delta, extras)| Happens::Comes(delta, extras)),
            4 => Just(Happens::Passes),
            1 => piece().prop_map(|(delta, extras)| Happens::IsPut(delta, extras)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_kept_once_is_what_two_would_be(all in prop::collection::vec(happens(), 0..24), changed in any::<bool>()) {
            let begin = |extras: &str| ContentEntry::begin(&BlockKind::Text, &Extras::from_text(extras).unwrap());
            let mut original = begin("");
            let mut naive = begin(if changed { r#"{"x":1}"# } else { "" });
            let mut settled = Settled::begin(naive.clone(), Some(&original));
            let (mut came, mut passed) = (Vec::new(), 0);
            for happens in all {
                match happens {
                    Happens::Comes(delta, extras) => {
                        settled.before(&delta, &original);
                        original.push(&delta, &extras);
                        came.push((delta, extras));
                    }
                    Happens::Passes => {
                        let Some((delta, extras)) = came.get(passed) else { continue };
                        passed += 1;
                        naive.push(delta, extras);
                        settled.push(delta, extras, Some(&original));
                    }
                    Happens::IsPut(delta, extras) => {
                        naive.push(&delta, &extras);
                        settled.push(&delta, &extras, Some(&original));
                    }
                }
            }
            let (unchanged, settled) = settled.finish(Some(&original));
            prop_assert_eq!(unchanged, naive == original);
            prop_assert_eq!(settled, (!unchanged).then_some(naive));
        }
    }
}
