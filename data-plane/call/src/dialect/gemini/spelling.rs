//! The names of fields: Google's JSON spells them in camel case, and allows snake case.

use crate::dialect::fields::Object;

/// Spells the names of an object's own fields in camel case.
pub(super) fn camel(object: &mut Object) {
    if !object.keys().any(|key| is_snake(key)) {
        return;
    }
    let fields = std::mem::take(object);
    for (key, value) in fields {
        let camel = if is_snake(&key) { to_camel(&key) } else { key.clone() };
        // Of a field that is there in both spellings, one stays as it is.
        let name = if object.contains_key(&camel) { key } else { camel };
        object.insert(name, value);
    }
}

fn is_snake(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    key.contains('_') && !key.starts_with('_') && key.bytes().all(is_plain)
}

fn to_camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        camel.extend(word.chars().take(1).map(|first| first.to_ascii_uppercase()));
        camel.extend(word.chars().skip(1));
    }
    camel
}
