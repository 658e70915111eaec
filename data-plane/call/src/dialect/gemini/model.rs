//! What is known of a model by its name.

/// What generations of models differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// How it is told how much to think.
    pub(super) thinking: Thinking,
    /// Whether it wants the function calls of the current turn signed, and takes media within a function's response: from
    /// the third generation on.
    pub(super) third: bool,
}

/// How a model is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It does not think, or can't be told.
    Fixed,
    /// By tokens: at least, at most; where the least is 0 it need not think.
    Budget {
        /// The least, beside 0 where that is allowed.
        least: u64,
        /// Whether it may be told not to.
        optional: bool,
        /// The most.
        most: u64,
    },
    /// By words.
    Level {
        /// Whether it knows the least of them, `MINIMAL`.
        minimal: bool,
        /// Whether it knows `MEDIUM`.
        medium: bool,
    },
}

impl Model {
    /// The model of that name. One without a number is an alias of the latest.
    pub(super) fn named(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let Some(rest) = name.strip_prefix("gemini-") else { return Self { thinking: Thinking::Fixed, third: false } };
        let version = version(rest);
        let is_pro = name.contains("-pro");
        let thinking = match version {
            Some((3.., _)) | None => Thinking::Level { minimal: !is_pro, medium: !is_pro || version != Some((3, 0)) },
            Some((2, 5)) if name.contains("-image") || name.contains("-tts") => Thinking::Fixed,
            Some((2, 5)) if is_pro => Thinking::Budget { least: 128, optional: false, most: 32_768 },
            Some((2, 5)) if name.contains("-lite") => Thinking::Budget { least: 512, optional: true, most: 24_576 },
            Some((2, 5)) => Thinking::Budget { least: 1, optional: true, most: 24_576 },
            Some(_) => Thinking::Fixed,
        };
        Self { thinking, third: version.is_none_or(|(major, _)| major >= 3) }
    }
}

/// Major and minor number, of `2.5-flash`; `None`: it begins with none.
fn version(name: &str) -> Option<(u32, u32)> {
    let number = name.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_generation() {
        let level = |minimal, medium| Model { thinking: Thinking::Level { minimal, medium }, third: true };
        let budget =
            |least, optional, most| Model { thinking: Thinking::Budget { least, optional, most }, third: false };
        let fixed = Model { thinking: Thinking::Fixed, third: false };
        for (name, model) in [
            ("gemini-3-pro-preview", level(false, false)),
            ("gemini-3.1-pro-preview", level(false, true)),
            ("models/gemini-3-flash", level(true, true)),
            ("gemini-flash-latest", level(true, true)),
            ("publishers/google/models/gemini-2.5-pro", budget(128, false, 32_768)),
            ("gemini-2.5-flash-lite", budget(512, true, 24_576)),
            ("Gemini-2.5-Flash", budget(1, true, 24_576)),
            ("gemini-2.5-flash-image", fixed),
            ("gemini-2.0-flash", fixed),
            ("gemini-1.5-pro-002", fixed),
            ("gemma-3-27b-it", fixed),
            ("", fixed),
        ] {
            assert_eq!(Model::named(name), model, "{name}");
        }
    }
}
