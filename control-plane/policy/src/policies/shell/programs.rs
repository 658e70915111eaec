//! What is known of programs and tools by their names.

/// The name of a program, without its path.
pub(super) fn name(word: &str) -> String {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word).trim_start_matches(['!', '%', '@']).to_lowercase();
    let stem = name.strip_suffix(".exe").or_else(|| name.strip_suffix(".cmd"));
    stem.map_or(name.clone(), str::to_owned)
}

/// Whether it runs the scripts that it is given.
pub(super) fn is_shell(program: &str) -> bool {
    matches!(
        program,
        "sh" | "bash"
            | "dash"
            | "zsh"
            | "ksh"
            | "mksh"
            | "ash"
            | "fish"
            | "csh"
            | "tcsh"
            | "rbash"
            | "cmd"
            | "powershell"
            | "pwsh"
    )
}

/// Where the command stands that a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// Nowhere: it runs none.
    Nothing,
    /// It is the next word.
    Next,
    /// It is the next word behind options and what belongs to them.
    BehindOptions,
    /// It is one of the next words.
    Anywhere,
}

/// Where the command stands that a program runs.
pub(super) fn runs(program: &str, next: Option<&str>) -> Runs {
    match program {
        "command" if next.is_some_and(|next| matches!(next, "-v" | "-V")) => Runs::Nothing,
        "then" | "else" | "do" | "if" | "elif" | "while" | "until" | "!" | "{" => Runs::Next,
        "sudo" | "doas" | "env" | "nohup" | "time" | "command" | "exec" | "builtin" | "nice" | "ionice" | "timeout"
        | "gtimeout" | "stdbuf" | "setsid" | "xargs" | "parallel" | "busybox" | "toybox" | "watch" | "strace"
        | "ltrace" | "unbuffer" | "script" | "eval" | "coproc" | "caffeinate" | "systemd-run" | "proxychains"
        | "proxychains4" | "torsocks" | "start-process" => Runs::BehindOptions,
        "chroot" | "flock" | "su" | "runuser" | "ssh" | "docker" | "podman" | "nerdctl" | "kubectl" | "wsl"
        | "tmux" | "screen" | "start" => Runs::Anywhere,
        program if is_shell(program) => Runs::BehindOptions,
        _ => Runs::Nothing,
    }
}

/// The words with which a command may begin that the one at `start` runs.
pub(super) fn begins(words: &[String], start: usize, program: &str, reach: usize) -> Vec<usize> {
    let behind = start + 1..words.len().min(start + 1 + reach);
    match runs(program, words.get(start + 1).map(String::as_str)) {
        Runs::Nothing => Vec::new(),
        Runs::Next => behind.take(1).collect(),
        Runs::Anywhere => behind.collect(),
        Runs::BehindOptions => {
            let mut begins = Vec::new();
            for at in behind {
                let is_option =
                    |word: &String| word.starts_with(['-', '+', '/']) && word.len() > 1 && !word[1..].contains('/');
                let is_value = is_assignment(&words[at]) || words[at].starts_with(|char: char| char.is_ascii_digit());
                if is_option(&words[at]) || is_value {
                    continue;
                }
                begins.push(at);
                if at == start + 1 || !is_option(&words[at - 1]) {
                    break;
                }
            }
            begins
        }
    }
}

/// Whether a word gives a variable its value.
pub(super) fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// Whether it runs code that is no shell's.
pub(super) fn is_interpreter(program: &str) -> bool {
    let stem = program.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    matches!(
        stem,
        "python" | "pypy" | "py" | "ipython" | "perl" | "ruby" | "node" | "nodejs" | "deno" | "bun" | "php" | "lua"
    )
}

/// Whether it fetches what may then be run.
pub(super) fn is_download(program: &str) -> bool {
    matches!(program, "curl" | "wget" | "fetch" | "aria2c" | "iwr" | "irm" | "invoke-webrequest" | "invoke-restmethod")
}

/// Whether what it says can't be read here.
pub(super) fn is_decoder(program: &str) -> bool {
    matches!(program, "base64" | "base32" | "xxd" | "openssl" | "gunzip" | "zcat" | "rev" | "tr")
}

/// The words that a name is made of, in lower case: `local_shell`, `localShell` and `mcp__local__shell` have a `shell`.
pub(in super::super) fn segments(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        let begins = char.is_uppercase() && was_lower;
        if begins || !char.is_alphanumeric() {
            segments.push(String::new());
        }
        if char.is_alphanumeric() {
            segments.last_mut().into_iter().for_each(|segment| segment.extend(char.to_lowercase()));
        }
        was_lower = char.is_lowercase();
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// Whether a tool of that name runs commands.
pub(super) fn is_shell_tool(name: &str) -> bool {
    let is_of_shells = |segment: &String| {
        matches!(
            segment.as_str(),
            "bash"
                | "shell"
                | "sh"
                | "zsh"
                | "terminal"
                | "exec"
                | "execute"
                | "command"
                | "commands"
                | "cmd"
                | "powershell"
                | "pwsh"
                | "console"
                | "stdin"
                | "run"
                | "subprocess"
        )
    };
    segments(name).iter().any(is_of_shells)
}

/// Whether commands stand under a key of that name, whatever the tool is called.
pub(super) fn is_command_key(key: &str) -> bool {
    matches!(
        key.to_lowercase().as_str(),
        "command" | "commands" | "cmd" | "cmds" | "script" | "shell" | "bash" | "argv"
    )
}

/// Whether what stands under a key of that name only tells people something.
pub(super) fn is_remark_key(key: &str) -> bool {
    matches!(key.to_lowercase().as_str(), "description" | "justification" | "explanation" | "summary" | "title")
}

/// Whether arguments stand there, of the command that stands before it.
pub(super) fn is_arguments_key(key: &str) -> bool {
    matches!(key.to_lowercase().as_str(), "args" | "arguments" | "params" | "parameters")
}

/// Whether it says where a command is run.
pub(super) fn is_folder_key(key: &str) -> bool {
    matches!(key.to_lowercase().as_str(), "cwd" | "workdir" | "working_directory" | "workingdirectory" | "directory")
}
