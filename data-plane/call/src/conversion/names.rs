//! Names of tools and ids of calls that the target accepts. All are functions of what the client said alone, so that every
//! request of a conversation tells the same.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::request::{Dialect, Tool, ToolKind};
use sha2::{Digest, Sha256};

/// How many digits of a hash tell what was cut or replaced.
const HASHED: usize = 8;

/// The names of the tools at the target.
#[derive(Debug)]
pub(super) struct Names {
    target: Dialect,
    /// By namespace and name.
    declared: BTreeMap<(String, String), String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// Names that fit stay; the others make way for them.
    pub(super) fn of(tools: &[Tool], target: Dialect) -> Self {
        let mut names = Self { target, declared: BTreeMap::new(), taken: BTreeSet::new() };
        let is_clients = |tool: &&Tool| !matches!(tool.kind, ToolKind::Hosted(_));
        let (plain, grouped): (Vec<_>, Vec<_>) =
            tools.iter().filter(is_clients).partition(|tool| tool.namespace.is_empty());
        let in_order = || plain.iter().chain(&grouped);
        for tool in in_order() {
            let whole = whole(&tool.namespace, &tool.name);
            if fits(&whole, target) && !names.taken.contains(&whole) {
                names.declare(tool, whole);
            }
        }
        for tool in in_order() {
            if !names.declared.contains_key(&key(&tool.namespace, &tool.name)) {
                let name = names.make(&whole(&tool.namespace, &tool.name));
                names.declare(tool, name);
            }
        }
        names
    }

    fn declare(&mut self, tool: &Tool, name: String) {
        self.taken.insert(name.clone());
        self.declared.entry(key(&tool.namespace, &tool.name)).or_insert(name);
    }

    /// The target's name of a tool, be it declared or known from earlier answers only.
    pub(super) fn get(&self, namespace: &str, name: &str) -> String {
        if let Some(name) = self.declared.get(&key(namespace, name)) {
            return name.clone();
        }
        let whole = whole(namespace, name);
        if fits(&whole, self.target) && !self.taken.contains(&whole) { whole } else { self.make(&whole) }
    }

    /// The target's name of a declared tool that is referred to without its namespace.
    pub(super) fn referred(&self, name: &str) -> Option<&str> {
        let plain = self.declared.get(&key("", name));
        let found = plain.or_else(|| {
            let mut all = self.declared.iter().filter(|((_, known), _)| known == name);
            all.next().map(|(_, name)| name).filter(|_| all.next().is_none())
        });
        found.map(String::as_str)
    }

    fn make(&self, whole: &str) -> String {
        let longest = longest(self.target);
        let plain = plain(whole);
        let start = if starts_well(&plain, self.target) { plain } else { format!("_{plain}") };
        let kept: String = start.chars().take(longest - HASHED - 1).collect();
        let seeds =
            (0..=self.taken.len()).map(|nth| if nth == 0 { whole.to_owned() } else { format!("{whole}\0{nth}") });
        let mut names = seeds.map(|seed| format!("{kept}_{}", hash(&seed, HASHED)));
        names.find(|name| !self.taken.contains(name)).unwrap_or(kept)
    }
}

fn key(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

fn whole(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}__{name}") }
}

fn longest(target: Dialect) -> usize {
    match target {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini => 64,
        Dialect::AnthropicMessages => 128,
    }
}

fn fits(name: &str, target: Dialect) -> bool {
    !name.is_empty() && name.len() <= longest(target) && name.chars().all(is_plain) && starts_well(name, target)
}

/// Gemini's names are those of programs.
fn starts_well(name: &str, target: Dialect) -> bool {
    target != Dialect::Gemini || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// The id of a call as the target accepts it.
pub(super) fn fit_id(id: &str, target: Dialect) -> String {
    let (longest, any) = match target {
        Dialect::OpenAiChat => (40, true),
        Dialect::OpenAiResponses => (64, true),
        Dialect::AnthropicMessages => (64, false),
        Dialect::Gemini => (usize::MAX, true),
    };
    if id.len() <= longest && (any || id.chars().all(is_plain)) {
        return id.to_owned();
    }
    let kept: String = plain(id).chars().take(longest - HASHED - 1).collect();
    format!("{kept}_{}", hash(id, HASHED))
}

/// The id of a call that has none: the so many-th call of the conversation.
pub(super) fn id_of_nth(nth: usize) -> String {
    format!("call_{}", hash(&nth.to_string(), 24))
}

/// What tells a text from others.
pub(super) fn hash(text: &str, digits: usize) -> String {
    let mut hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

fn plain(text: &str) -> String {
    text.chars().map(|char| if is_plain(char) { char } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use luthien_proto::json::Extras;
    use serde_json::Value;

    use super::*;

    fn tool(namespace: &str, name: &str) -> Tool {
        let kind = ToolKind::Function { schema: Value::Null, strict: None };
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Tool { name, namespace, description: String::new(), kind, extras: Extras::NONE }
    }

    #[test]
    fn names_that_fit_stay_and_no_two_tools_share_one() {
        let long = "x".repeat(65);
        let tools =
            [tool("a", "b"), tool("", "a__b"), tool("", "a.b"), tool("", "a/b"), tool("", &long), tool("", "9")];
        for target in Dialect::ALL {
            let names = Names::of(&tools, target);
            let all: Vec<_> = tools.iter().map(|tool| names.get(&tool.namespace, &tool.name)).collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), tools.len(), "{all:?}");
            assert!(all.iter().all(|name| fits(name, target)), "{all:?}");
            assert_eq!(all[1], "a__b");
            assert!(all[0].starts_with("a__b_") && all[2].starts_with("a_b_"), "{all:?}");
            assert_eq!(all[4] == long, target == Dialect::AnthropicMessages);
            assert_eq!(all[5] == "9", target != Dialect::Gemini);
            // A name of earlier answers takes nobody's.
            assert!(!all.contains(&names.get("x", "a__b")) && !all.contains(&names.get("", &all[2].replace('_', "."))));
        }
    }

    #[test]
    fn ids_stay_if_they_can() {
        assert_eq!(fit_id("functions.f:0", Dialect::OpenAiChat), "functions.f:0");
        let odd = fit_id("functions.f:0", Dialect::AnthropicMessages);
        assert!(odd.starts_with("functions_f_0_") && odd != fit_id("functions:f.0", Dialect::AnthropicMessages));
        assert_eq!(fit_id(&"é".repeat(40), Dialect::OpenAiChat).len(), 40);
    }
}
