//! The commands of a tool call, found wherever a shell would find them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Command,
    lexer::{Simple, lex},
    programs::{Runs, begins, is_assignment, is_decoder, is_download, is_interpreter, is_shell, name, runs},
    spoken::{self, Spoken},
};
use crate::policies::suspect::Suspect;

/// How deep scripts are looked for in scripts.
const DEPTH_MAX: usize = 6;

/// How much of one call is read: what runs it may want to take long to be read.
const CHARS_MAX: usize = 128 << 10;
const COMMANDS_MAX: usize = 2048;
const WORDS_MAX: usize = 256 << 10;
const FOLDERS_MAX: usize = 32;

/// How many words behind one that runs another the command may stand.
const REACH: usize = 16;

/// What a tool call would run.
#[derive(Debug, Default)]
pub(in super::super) struct Reading {
    pub commands: Vec<Command>,
    /// The files that output is written to.
    pub writes: Vec<String>,
    /// Code in other languages.
    pub code: Vec<String>,
    /// Folders that commands may be run in.
    pub folders: Vec<String>,
    /// All scripts, as they are.
    pub scripts: Vec<String>,
    /// Whether a shell runs what comes from elsewhere.
    pub runs: Option<Unseen>,
    /// Whether there was more than is read.
    pub is_cut: bool,
    chars: usize,
    words: usize,
}

/// Scripts that are not in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Unseen {
    Downloaded,
    Encoded,
}

impl Reading {
    /// Reads what may be a call.
    pub fn of(suspect: &Suspect<'_>) -> Self {
        let mut reading = Self::default();
        for spoken in spoken::of(suspect) {
            match spoken {
                Spoken::Script(text) => reading.script(text, 0),
                Spoken::Words(words) => reading.run(words, None, 0),
                Spoken::Folder(text) => reading.folders.push(text.to_owned()),
            }
        }
        reading
    }

    fn script(&mut self, text: &str, depth: usize) {
        if depth > DEPTH_MAX || !self.affords(text) {
            self.is_cut = true;
            return;
        }
        self.scripts.push(text.to_owned());
        let mut before: Option<Fed> = None;
        for simple in lex(text) {
            let fed = before.take();
            before = self.simple(simple, fed, depth);
        }
    }

    fn affords(&mut self, text: &str) -> bool {
        self.chars += text.len();
        self.chars <= CHARS_MAX
    }

    /// A command, and what the next one reads of it.
    fn simple(&mut self, simple: Simple, fed: Option<Fed>, depth: usize) -> Option<Fed> {
        let Simple { words, writes, stdin, inner, is_piped } = simple;
        let programs = programs(&words);
        let runs_text = |program: &String| is_shell(program) || matches!(program.as_str(), "eval" | "source" | ".");
        if programs.iter().any(runs_text) {
            let fetches = |script: &String| {
                lex(script).iter().flat_map(|simple| simple.words.first()).any(|word| is_download(&name(word)))
            };
            let from_inner = inner.iter().any(fetches).then_some(Unseen::Downloaded);
            self.runs = self.runs.or(from_inner).or(fed.as_ref().and_then(|fed| fed.unseen));
        }
        for script in &inner {
            self.script(script, depth + 1);
        }
        self.writes.extend(writes);
        let unseen = match () {
            () if programs.iter().any(|program| is_download(program)) => Some(Unseen::Downloaded),
            () if programs.iter().any(|program| is_decoder(program)) => Some(Unseen::Encoded),
            () => fed.as_ref().and_then(|fed| fed.unseen),
        };
        let said = stdin.clone().or_else(|| (words.len() > 1).then(|| words[1..].join(" ")));
        let next = is_piped
            .then(|| Fed { text: said.or(fed.as_ref().map(|fed| fed.text.clone())).unwrap_or_default(), unseen });
        let text = stdin.or(fed.map(|fed| fed.text));
        self.run(words, text.as_deref(), depth);
        next
    }

    /// A command, and those that it runs. `fed`: what it reads.
    fn run(&mut self, words: Vec<String>, fed: Option<&str>, depth: usize) {
        let assigned = words.iter().take_while(|word| is_assignment(word)).count();
        let words: Arc<[String]> = words.into();
        let mut starts = BTreeSet::from([assigned]);
        while let Some(start) = starts.pop_first() {
            if start >= words.len() {
                break;
            }
            self.words += words.len() - start;
            if self.commands.len() >= COMMANDS_MAX || self.words > WORDS_MAX || self.folders.len() > FOLDERS_MAX {
                self.is_cut = true;
                return;
            }
            let program = name(&words[start]);
            let command = Command { words: words.clone(), start, program };
            self.look_into(&command, fed, depth);
            starts.extend(begins(&words, start, &command.program, REACH));
            if command.program == "find" || command.program == "fd" {
                let runs =
                    |word: &String| matches!(word.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "-X");
                starts.extend((start..words.len()).filter(|at| runs(&words[*at])).map(|at| at + 1));
            }
            self.commands.push(command);
        }
    }

    fn look_into(&mut self, command: &Command, fed: Option<&str>, depth: usize) {
        let (program, args) = (command.program.as_str(), command.args());
        if program == "cd" || program == "pushd" {
            self.folders.extend(command.operands().map(str::to_owned));
        }
        if program == "eval" {
            self.script(&args.join(" "), depth + 1);
        } else if runs(program, args.first().map(String::as_str)) != Runs::Nothing {
            args.iter().filter(|arg| arg.contains(char::is_whitespace)).for_each(|arg| self.script(arg, depth + 1));
        }
        if let Some(fed) = fed.filter(|_| is_shell(program)) {
            self.script(fed, depth + 1);
        }
        if is_interpreter(program) {
            let is_code = |option: &str| {
                matches!(option, "-c" | "-e" | "-E" | "-r" | "-p" | "-pe" | "-ne" | "--eval" | "--print" | "eval")
            };
            let code = args.windows(2).filter(|pair| is_code(&pair[0])).map(|pair| pair[1].clone());
            let code: Vec<String> = code.chain(fed.map(str::to_owned)).collect();
            code.iter().for_each(|code| self.code(code, depth));
        }
    }

    /// Its strings may be scripts, or the words of a command.
    fn code(&mut self, code: &str, depth: usize) {
        if !self.affords(code) {
            self.is_cut = true;
            return;
        }
        let strings = spoken::literals(code);
        strings.iter().for_each(|text| self.script(text, depth + 1));
        if strings.len() > 1 && depth <= DEPTH_MAX {
            self.run(strings, None, depth + 1);
        }
        self.code.push(code.to_owned());
    }
}

/// The program of a command, and those that it runs.
fn programs(words: &[String]) -> Vec<String> {
    let assigned = words.iter().take_while(|word| is_assignment(word)).count();
    let Some(first) = words.get(assigned).map(|word| name(word)) else { return Vec::new() };
    let behind = begins(words, assigned, &first, REACH);
    let mut programs: Vec<String> = behind.into_iter().map(|at| name(&words[at])).collect();
    programs.insert(0, first);
    programs
}

/// What a command says to the next one.
struct Fed {
    text: String,
    unseen: Option<Unseen>,
}
