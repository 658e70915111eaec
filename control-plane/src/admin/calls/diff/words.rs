//! Two texts, word by word.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use utoipa::ToSchema;

/// A piece of the comparison. Those that are not inserted make the first text, those that are not deleted the second.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Word {
    op: Op,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Op {
    Equal,
    Insert,
    Delete,
}

/// How finely texts were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Words,
    Lines,
    Whole,
}

/// What may be spent on comparing. The cost grows with the product of the lengths of what differs, so texts that have
/// little in common are compared less finely.
#[derive(Debug)]
pub(super) struct Budget {
    /// Pairs of words or lines.
    pairs: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { pairs: 32_000_000 }
    }
}

impl Budget {
    fn spend(&mut self, before: usize, after: usize) -> bool {
        let left = before.checked_mul(after).and_then(|pairs| self.pairs.checked_sub(pairs));
        self.pairs = left.unwrap_or(self.pairs);
        left.is_some()
    }
}

/// Compares two texts as finely as the budget allows.
pub(super) fn compare(before: &str, after: &str, budget: &mut Budget) -> (By, Vec<Word>) {
    for (by, split) in [(By::Words, words as fn(&str) -> Vec<&str>), (By::Lines, lines)] {
        if let Some(words) = diff(&split(before), &split(after), budget) {
            return (by, words);
        }
    }
    let mut pieces = Pieces::default();
    pieces.push(Op::Delete, &[before]);
    pieces.push(Op::Insert, &[after]);
    (By::Whole, pieces.0)
}

/// Compares what is left between what both begin and end with.
fn diff(before: &[&str], after: &[&str], budget: &mut Budget) -> Option<Vec<Word>> {
    let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (start, before, after) = (&before[..head], &before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
    let (before, end) = before.split_at(before.len() - tail);
    let after = &after[..after.len() - tail];
    if !budget.spend(before.len(), after.len()) {
        return None;
    }
    let mut pieces = Pieces::default();
    pieces.push(Op::Equal, start);
    for op in capture_diff_slices(Algorithm::Myers, before, after) {
        match op {
            DiffOp::Equal { old_index, len, .. } => pieces.push(Op::Equal, &before[old_index..][..len]),
            DiffOp::Delete { old_index, old_len, .. } => pieces.push(Op::Delete, &before[old_index..][..old_len]),
            DiffOp::Insert { new_index, new_len, .. } => pieces.push(Op::Insert, &after[new_index..][..new_len]),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                pieces.push(Op::Delete, &before[old_index..][..old_len]);
                pieces.push(Op::Insert, &after[new_index..][..new_len]);
            }
        }
    }
    pieces.push(Op::Equal, end);
    Some(pieces.0)
}

/// Pieces in order; neighbours of one kind are one.
#[derive(Default)]
struct Pieces(Vec<Word>);

impl Pieces {
    fn push(&mut self, op: Op, texts: &[&str]) {
        let text = texts.concat();
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.op == op => last.text.push_str(&text),
            Some(_) | None => self.0.push(Word { op, text }),
        }
    }
}

/// Words, the spaces between them, and any other sign by itself.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let sort = Sort::of(first);
        let end = match sort {
            Sort::Sign => first.len_utf8(),
            Sort::Letter | Sort::Space => rest.find(|next| Sort::of(next) != sort).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after;
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Letter,
    Space,
    Sign,
}

impl Sort {
    /// From U+2E80 on are scripts that put no spaces between words.
    fn of(sign: char) -> Self {
        match sign {
            _ if sign.is_whitespace() => Self::Space,
            '_' => Self::Letter,
            _ if sign.is_alphanumeric() && sign < '\u{2E80}' => Self::Letter,
            _ => Self::Sign,
        }
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `[-deleted-]`, `{+inserted+}`.
    fn show((by, words): &(By, Vec<Word>)) -> String {
        let words = words.iter().map(|Word { op, text }| match op {
            Op::Equal => text.clone(),
            Op::Delete => format!("[-{text}-]"),
            Op::Insert => format!("{{+{text}+}}"),
        });
        format!("{by:?}: {}", words.collect::<String>())
    }

    fn check(before: &str, after: &str, expected: Expect) {
        let compared = compare(before, after, &mut Budget::default());
        assert_eq!(side(&compared.1, Op::Insert), before);
        assert_eq!(side(&compared.1, Op::Delete), after);
        expected.assert_eq(&show(&compared));
    }

    fn side(words: &[Word], without: Op) -> String {
        words.iter().filter(|word| word.op != without).map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn words_are_compared_and_not_their_letters() {
        check("The cool answer.", "The radical answer.", expect!["Words: The [-cool-]{+radical+} answer."]);
        check("a b c d", "a c d e", expect!["Words: a [-b -]c d{+ e+}"]);
        check(r#"{"path":"/tmp/a"}"#, r#"{"path":"/tmp/b"}"#, expect![[r#"Words: {"path":"/tmp/[-a-]{+b+}"}"#]]);
        check("snake_case = 1", "snake_cases = 1", expect!["Words: [-snake_case-]{+snake_cases+} = 1"]);
        check("今日は良い", "今日は悪い", expect!["Words: 今日は[-良-]{+悪+}い"]);
        check("", "all new", expect!["Words: {+all new+}"]);
        check(
            "all  gone\n",
            "",
            expect![[r#"
            Words: [-all  gone
            -]"#]],
        );
        check("", "", expect!["Words: "]);
    }

    #[test]
    fn what_costs_too_much_is_compared_by_lines_and_then_as_a_whole() {
        let many = |word: &str, end: &str| -> String { (0..8000).map(|n| format!("{word}{n}{end}")).collect() };
        let compare = |before: &str, after: &str| {
            let compared = compare(before, after, &mut Budget::default());
            assert_eq!(side(&compared.1, Op::Insert), before);
            assert_eq!(side(&compared.1, Op::Delete), after);
            compared
        };
        // Half of the words, but few lines.
        let lines = |word: &str| format!("same\n{}\nsame", many(word, " "));
        assert_eq!(compare(&lines("a"), &lines("b")).0, By::Lines);
        assert_eq!(compare(&many("a", "\n"), &many("b", "\n")).0, By::Whole);
        // However long the text is: one word is one word.
        let (by, words) = compare(&format!("{0}x {0}", many("a", " ")), &format!("{0}y {0}", many("a", " ")));
        assert_eq!((by, words.len()), (By::Words, 4));
    }

    #[test]
    fn a_budget_is_for_all_that_is_compared() {
        let mut budget = Budget { pairs: 1 };
        assert_eq!(compare("a", "b", &mut budget).0, By::Words);
        assert_eq!(compare("a", "b", &mut budget).0, By::Whole);
        assert_eq!(compare("a", "a", &mut budget).0, By::Words);
    }
}
