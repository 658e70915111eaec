//! What the scripted model says.

/// One scene: what is shown, and the script.
pub struct Scene {
    /// What it is about.
    pub title: &'static str,
    /// What to look for.
    pub lead: &'static str,
    /// What the model says.
    pub script: &'static [Piece],
}

/// One block of a scripted response, in the pieces that it is streamed in.
pub enum Piece {
    /// Text.
    Text(&'static [&'static str]),
    /// A tool call, its arguments as pieces of JSON.
    ToolCall {
        /// Its id.
        id: &'static str,
        /// The tool.
        name: &'static str,
        /// Pieces of the JSON text.
        arguments: &'static [&'static str],
    },
}

/// The policies of the demo, as one would write them into the configuration file.
pub const POLICIES: &str = r#"
  policies:
    - name: codename
      kind: string_replacement
      config: { replacements: [["Falcon", "[codename]"]] }
    - name: no-destruction
      kind: tool_call_rules
      config:
        deny:
          - { tool: "Bash", arguments: 'rm\s+-rf', reason: "deletes recursively" }
        message: "The call of {tool_name} was refused: {reason}."
  pipeline: [codename, no-destruction]
"#;

/// The scenes, in order.
pub const SCENES: [Scene; 3] = [
    Scene {
        title: "Text passes",
        lead: "Nothing matches a policy: the client gets the model's own bytes.",
        script: &[Piece::Text(&["The tests ", "are green; ", "ready to ", "merge."])],
    },
    Scene {
        title: "A name is replaced, across chunks",
        lead: "\"Falcon\" arrives in three pieces. Only what could still become the name is held back.",
        script: &[Piece::Text(&["Project Fa", "lc", "on ships in May. ", "A falling star is no name."])],
    },
    Scene {
        title: "A dangerous tool call is refused",
        lead: "Two calls in one turn: the harmless one stays, the other becomes a text that says why.",
        script: &[
            Piece::Text(&["Let me clean up."]),
            Piece::ToolCall { id: "toolu_1", name: "Read", arguments: &["{\"path\":", " \"notes.md\"}"] },
            Piece::ToolCall { id: "toolu_2", name: "Bash", arguments: &["{\"command\": \"rm", " -r", "f /\"}"] },
        ],
    },
];
