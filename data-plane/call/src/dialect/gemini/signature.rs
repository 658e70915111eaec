//! Signatures, in blocks of thinking: `place:signature`, where the place is the sort of part that it stands on.

/// The sort of part that a signature stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The function call that follows.
    Call,
    /// The text before.
    Text,
    /// The thought itself.
    Thought,
}

impl Place {
    const ALL: [Self; 3] = [Self::Call, Self::Text, Self::Thought];

    fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Text => "text",
            Self::Thought => "thought",
        }
    }
}

/// The signature of a block of thinking.
pub(super) fn placed(place: Place, signature: &str) -> String {
    format!("{}:{signature}", place.name())
}

/// Where a signature stands, and the signature; `None`: it is none of Gemini's.
pub(super) fn read(placed: &str) -> Option<(Place, &str)> {
    let (name, signature) = placed.split_once(':')?;
    let place = Place::ALL.into_iter().find(|place| place.name() == name)?;
    (!signature.is_empty()).then_some((place, signature))
}

/// What a function call of Gemini 3 and later is signed with where its own signature is lost: the provider's word for
/// «don't check», in base64.
pub(super) const UNCHECKED: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";
