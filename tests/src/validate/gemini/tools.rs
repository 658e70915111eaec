//! The functions that may be called.

use serde_json::Value;

use super::{fields, list};
use crate::validate::json::{nonempty, optional, string};

/// The tools; gives back the names of the functions.
pub(super) fn tools(tools: &[Value]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for tool in tools {
        let known = ["functionDeclarations", "googleSearch", "codeExecution", "urlContext", "googleMaps", "fileSearch"];
        fields(tool, "tools", &known)?;
        if optional(tool, "functionDeclarations").is_none() {
            continue;
        }
        if !names.is_empty() {
            return Err("functions in more than one tool".to_owned());
        }
        for function in list(tool, "functionDeclarations")? {
            let name = declared(function)?;
            if names.contains(&name) {
                return Err(format!("Duplicate function declaration found: {name}"));
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn declared(function: &Value) -> Result<String, String> {
    let known = ["name", "description", "parametersJsonSchema", "responseJsonSchema", "behavior"];
    fields(function, "functionDeclarations", &known)?;
    let name = nonempty(function, "name")?;
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if !begins || !name.chars().all(goes_on) || name.len() > 64 {
        return Err(format!("Invalid function name: {name}"));
    }
    if optional(function, "description").is_some() {
        nonempty(function, "description")?;
    }
    match optional(function, "parametersJsonSchema") {
        None => {}
        Some(schema) if schema["type"] == "object" && !schema.get("properties").is_some_and(Value::is_null) => {}
        Some(schema) => return Err(format!("the schema of {name} is none of an object: {schema}")),
    }
    Ok(name.to_owned())
}

/// Which of them may or must be called.
pub(super) fn config(config: &Value, functions: &[String]) -> Result<(), String> {
    fields(config, "toolConfig", &["functionCallingConfig"])?;
    let config = &config["functionCallingConfig"];
    fields(config, "functionCallingConfig", &["mode", "allowedFunctionNames"])?;
    if functions.is_empty() {
        return Err("Function calling config is set without function_declarations.".to_owned());
    }
    let mode = string(config, "mode")?;
    if !matches!(mode, "AUTO" | "ANY" | "NONE" | "VALIDATED") {
        return Err(format!("the mode {mode}"));
    }
    if optional(config, "allowedFunctionNames").is_none() {
        return Ok(());
    }
    if !matches!(mode, "ANY" | "VALIDATED") {
        return Err(
            "Allowed function names should be set only when function calling mode is ANY or VALIDATED.".to_owned()
        );
    }
    let is_known = |name: &Value| functions.iter().any(|function| *name == **function);
    match list(config, "allowedFunctionNames")?.iter().find(|name| !is_known(name)) {
        Some(name) => Err(format!("no function is called {name}")),
        None => Ok(()),
    }
}
