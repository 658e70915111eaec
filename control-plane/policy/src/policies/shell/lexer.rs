//! A script, taken apart into simple commands.

/// A simple command as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// Without quotes.
    pub words: Vec<String>,
    /// Where its output is written to.
    pub writes: Vec<String>,
    /// The text that it reads: a here document or string.
    pub stdin: Option<String>,
    /// The scripts of its substitutions.
    pub inner: Vec<String>,
    /// Whether the next command reads what it says.
    pub is_piped: bool,
}

/// Takes a script apart. Whatever it is, it is read to its end.
pub(super) fn lex(script: &str) -> Vec<Simple> {
    let mut lexer = Lexer { chars: script.chars().collect(), ..Lexer::default() };
    lexer.run();
    lexer.done
}

#[derive(Default)]
struct Lexer {
    chars: Vec<char>,
    at: usize,
    done: Vec<Simple>,
    simple: Simple,
    word: Option<Word>,
    /// What the next word is.
    next: Next,
    /// Here documents that begin with the next line.
    here: Vec<Here>,
}

#[derive(Default)]
struct Word {
    text: String,
    is_quoted: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Word,
    Read,
    Write,
    /// A file, or the number of a stream.
    WriteOrStream,
    Stdin,
    Here {
        strips_tabs: bool,
    },
}

struct Here {
    command: usize,
    end: String,
    strips_tabs: bool,
}

impl Lexer {
    fn run(&mut self) {
        while let Some(char) = self.take() {
            match char {
                '\\' => self.escape(),
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '`' => self.backticks(),
                '$' => self.dollar(),
                '<' => self.less(),
                '>' => self.greater(),
                '&' if self.peek() == Some('>') => {
                    self.at += 1;
                    self.greater();
                }
                ';' | '&' | '(' | ')' => self.end_command(false),
                '|' => self.pipe(),
                '\n' => self.end_line(),
                '#' if self.word.is_none() => self.comment(),
                char if char.is_whitespace() => self.end_word(),
                char => self.push(char),
            }
        }
        self.end_line();
    }

    fn take(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += 1;
        Some(char)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Takes that, if it comes next.
    fn takes(&mut self, text: &str) -> bool {
        let comes = text.chars().enumerate().all(|(index, char)| self.chars.get(self.at + index) == Some(&char));
        self.at += if comes { text.chars().count() } else { 0 };
        comes
    }

    fn push(&mut self, char: char) {
        self.word.get_or_insert_default().text.push(char);
    }

    fn quoted(&mut self) -> &mut String {
        let word = self.word.get_or_insert_default();
        word.is_quoted = true;
        &mut word.text
    }

    fn escape(&mut self) {
        match self.take() {
            Some('\n') | None => {}
            Some('\r') if self.peek() == Some('\n') => self.at += 1,
            Some(char) => self.quoted().push(char),
        }
    }

    fn single_quoted(&mut self) {
        self.quoted();
        while let Some(char) = self.take()
            && char != '\''
        {
            self.quoted().push(char);
        }
    }

    fn double_quoted(&mut self) {
        self.quoted();
        while let Some(char) = self.take() {
            match char {
                '"' => return,
                '\\' => match self.take() {
                    Some('\n') | None => {}
                    Some(char @ ('$' | '`' | '"' | '\\')) => self.quoted().push(char),
                    Some(char) => self.quoted().extend(['\\', char]),
                },
                '`' => self.backticks(),
                '$' if self.takes("(") => self.substitution(),
                char => self.quoted().push(char),
            }
        }
    }

    fn backticks(&mut self) {
        let mut script = String::new();
        while let Some(char) = self.take()
            && char != '`'
        {
            let escaped = (char == '\\').then(|| self.take()).flatten();
            script.push(escaped.unwrap_or(char));
        }
        self.quoted();
        self.simple.inner.push(script);
    }

    /// Behind its opening parenthesis.
    fn substitution(&mut self) {
        let (mut script, mut depth) = (String::new(), 1);
        while let Some(char) = self.take() {
            depth += match char {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            if depth == 0 {
                break;
            }
            script.push(char);
        }
        self.quoted();
        self.simple.inner.push(script);
    }

    fn dollar(&mut self) {
        if self.takes("(") {
            return self.substitution();
        }
        if self.takes("'") {
            return self.ansi_quoted();
        }
        if self.takes("\"") {
            return self.double_quoted();
        }
        let separates = self.takes("{IFS}") || {
            let ends = |char: Option<&char>| char.is_none_or(|char| !char.is_alphanumeric() && *char != '_');
            ends(self.chars.get(self.at + 3)) && self.takes("IFS")
        };
        if separates { self.end_word() } else { self.push('$') }
    }

    /// `$'…'`, with the escapes of C.
    fn ansi_quoted(&mut self) {
        self.quoted();
        while let Some(char) = self.take() {
            match char {
                '\'' => return,
                '\\' => {
                    let char = self.ansi_escape();
                    self.quoted().extend(char);
                }
                char => self.quoted().push(char),
            }
        }
    }

    fn ansi_escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            'n' => '\n',
            't' => '\t',
            'x' => self.number(16, 2)?,
            'u' => self.number(16, 4)?,
            'U' => self.number(16, 8)?,
            '0'..='7' => {
                self.at -= 1;
                self.number(8, 3)?
            }
            char => char,
        })
    }

    fn number(&mut self, radix: u32, digits_max: usize) -> Option<char> {
        let mut number = 0;
        for _ in 0..digits_max {
            let Some(digit) = self.peek().and_then(|char| char.to_digit(radix)) else { break };
            number = number * radix + digit;
            self.at += 1;
        }
        char::from_u32(number)
    }

    fn less(&mut self) {
        if self.takes("(") {
            return self.substitution();
        }
        self.end_stream();
        self.next = match () {
            () if self.takes("<<") => Next::Stdin,
            () if self.takes("<-") => Next::Here { strips_tabs: true },
            () if self.takes("<") => Next::Here { strips_tabs: false },
            () => Next::Read,
        };
    }

    fn greater(&mut self) {
        if self.takes("(") {
            return self.substitution();
        }
        self.end_stream();
        self.next = match () {
            () if self.takes("&") => Next::WriteOrStream,
            () => {
                let _ = self.takes(">") || self.takes("|");
                Next::Write
            }
        };
    }

    /// The number before `<` or `>` is no word.
    fn end_stream(&mut self) {
        let is_number = |word: &Word| {
            !word.is_quoted && !word.text.is_empty() && word.text.chars().all(|char| char.is_ascii_digit())
        };
        self.word.take_if(|word| is_number(word));
        self.end_word();
    }

    fn pipe(&mut self) {
        match self.takes("|") {
            true => self.end_command(false),
            false => {
                let _ = self.takes("&");
                self.end_command(true);
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|char| char != '\n') {
            self.at += 1;
        }
    }

    fn end_word(&mut self) {
        let Some(Word { text, is_quoted }) = self.word.take() else { return };
        match std::mem::take(&mut self.next) {
            Next::Read => {}
            Next::Write => self.simple.writes.push(text),
            Next::WriteOrStream if text == "-" || text.parse::<u8>().is_ok() => {}
            Next::WriteOrStream => self.simple.writes.push(text),
            Next::Stdin => self.simple.stdin = Some(text),
            Next::Here { strips_tabs } => {
                let command = self.done.len();
                self.here.push(Here { command, end: text, strips_tabs });
                self.simple.stdin.get_or_insert_default();
            }
            Next::Word => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
                Some(list) if !is_quoted && list.contains(',') => {
                    self.simple.words.extend(list.split(',').map(str::to_owned));
                }
                Some(_) | None => self.simple.words.push(text),
            },
        }
    }

    fn end_command(&mut self, is_piped: bool) {
        self.end_word();
        self.next = Next::Word;
        if self.simple != Simple::default() {
            self.done.push(Simple { is_piped, ..std::mem::take(&mut self.simple) });
        }
    }

    fn end_line(&mut self) {
        self.end_command(false);
        for here in std::mem::take(&mut self.here) {
            let text = self.here_document(&here);
            if let Some(command) = self.done.get_mut(here.command) {
                command.stdin = Some(text);
            }
        }
    }

    fn here_document(&mut self, here: &Here) -> String {
        let mut text = String::new();
        while self.at < self.chars.len() {
            let end = self.chars[self.at..].iter().position(|char| *char == '\n');
            let end = end.map_or(self.chars.len(), |end| self.at + end);
            let line: String = self.chars[self.at..end].iter().collect();
            self.at = (end + 1).min(self.chars.len());
            let line = line.trim_end_matches('\r');
            let line = if here.strips_tabs { line.trim_start_matches('\t') } else { line };
            if line == here.end {
                break;
            }
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<String> {
        lex(script).iter().map(|simple| simple.words.join("_")).collect()
    }

    #[test]
    fn words_are_taken_apart_as_a_shell_does() {
        let cases: [(&str, &[&str]); 14] = [
            ("rm  -rf /", &["rm_-rf_/"]),
            ("r''m \"-rf\" \\/", &["rm_-rf_/"]),
            ("ls; rm x && echo y || z & w", &["ls", "rm_x", "echo_y", "z", "w"]),
            ("a | b |& c", &["a", "b", "c"]),
            ("a\nb # no\nc", &["a", "b", "c"]),
            ("rm \\\n -rf", &["rm_-rf"]),
            ("(a b) {c,d} \"{c,d}\"", &["a_b", "c_d_{c,d}"]),
            ("$'\\x72\\155' $'a\\'b'", &["rm_a'b"]),
            ("rm${IFS}-rf$IFS/", &["rm_-rf_/"]),
            ("echo '$(a)' \"x$(b c)y\" `d`", &["echo_$(a)_xy_"]),
            ("echo \"a", &["echo_a"]),
            ("a 2>&1 >b <c &>d e>>f", &["a_e"]),
            ("x#y 'a#b'", &["x#y_a#b"]),
            ("", &[]),
        ];
        for (script, expected) in cases {
            assert_eq!(words(script), expected, "{script}");
        }
    }

    #[test]
    fn what_is_read_and_written_is_known() {
        let lexed = lex("a 2>&1 >b <c &>d e>>f >|g >&h\n");
        assert_eq!(lexed[0].writes, ["b", "d", "f", "g", "h"]);
        let lexed = lex("cat <<'END' > x | sh\nrm a\n\tb\nEND\nls <<< \"here you\"");
        assert_eq!(lexed.iter().map(|simple| simple.words.join(" ")).collect::<Vec<_>>(), ["cat", "sh", "ls"]);
        assert_eq!(lexed[0].stdin.as_deref(), Some("rm a\n\tb\n"));
        assert_eq!((lexed[0].is_piped, lexed[2].stdin.as_deref()), (true, Some("here you")));
        assert_eq!(lex("cat <<-E\n\ta\n\tE\nb")[1].words, ["b"]);
        assert_eq!(lex("echo $(a $(b)) `c \\`d\\`` <(e)")[0].inner, ["a $(b)", "c `d`", "e"]);
    }
}
