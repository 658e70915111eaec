//! A replacement in the case of what it replaces.

/// `to`, cased as `found` is: upper, lower or capitalised. As it is, if `found` is as configured, or cased otherwise.
pub(super) fn cased_as(found: &str, from: &str, to: &str) -> String {
    if found == from {
        return to.to_owned();
    }
    let mut cased = found.chars().filter(|char| char.is_uppercase() || char.is_lowercase());
    let Some(first) = cased.next() else { return to.to_owned() };
    let (mut upper, mut lower) = (0_u32, 0_u32);
    cased.for_each(|char| if char.is_uppercase() { upper += 1 } else { lower += 1 });
    match (first.is_uppercase(), upper, lower) {
        (true, 1.., 0) => to.to_uppercase(),
        (true, 0, _) => capitalised(to),
        (false, 0, _) => to.to_lowercase(),
        (true | false, 1.., _) => to.to_owned(),
    }
}

/// The text with its first character in upper case.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_of_what_was_found_is_kept() {
        let cases = [("cool", "radical"), ("Cool", "Radical"), ("COOL", "RADICAL"), ("cOoL", "radical")];
        for (found, expected) in cases {
            assert_eq!(cased_as(found, "cool", "radical"), expected, "{found}");
        }
        assert_eq!(cased_as("A", "a", "the one"), "The one");
        assert_eq!(cased_as("openai", "OpenAI", "Acme Inc"), "acme inc");
        assert_eq!(cased_as("ÉLAN", "élan", "été"), "ÉTÉ");
        assert_eq!(cased_as("1-2", "1-2", "x"), "x");
    }
}
