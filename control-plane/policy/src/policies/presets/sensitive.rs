//! Writes to files that hold secrets, or decide what a machine or an agent does.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    guard::Finding,
    paths::{normal, within},
};
use crate::policies::{
    shell::{Command, Reading, segments},
    suspect::Suspect,
};

static PATCHED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?m)^(?:\*\*\* (?:Add File|Update File|Delete File|Move to): |(?:\+\+\+|---) (?:[ab]/)?)([^\t\r\n]+)")
        .ok()
});

static WRITING_CODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)write|append|unlink|remove|rename|copy|move|dump|truncate|chmod|["'][wax]b?\+?["']"#).ok()
});

pub(super) fn findings(suspect: &Suspect<'_>, reading: &Reading) -> Vec<Finding> {
    let mut paths = tool_paths(suspect);
    paths.extend(suspect.texts.iter().flat_map(|text| patched(text)));
    paths.extend(reading.writes.iter().cloned());
    paths.extend(reading.commands.iter().flat_map(written));
    let in_folders = reading.folders.iter().flat_map(|folder| paths.iter().map(move |path| within(folder, path)));
    let in_folders: Vec<String> = in_folders.collect();
    let mut found: Vec<Finding> = paths.iter().chain(&in_folders).filter_map(|path| finding(path)).collect();
    let writes = |code: &&String| WRITING_CODE.as_ref().is_some_and(|regex| regex.is_match(code));
    for code in reading.code.iter().filter(writes) {
        let words = code.split(|char: char| char.is_whitespace() || "\"'`()[]{},;=".contains(char));
        found.extend(words.filter_map(finding));
    }
    found
}

fn finding(path: &str) -> Option<Finding> {
    let reason = sensitive(path)?;
    Some(Finding::new(path, format!("it writes to {path}: {reason}")))
}

/// The paths that a tool is given that changes files.
fn tool_paths(suspect: &Suspect<'_>) -> Vec<String> {
    let changes = |segment: &String| {
        matches!(
            segment.as_str(),
            "write"
                | "edit"
                | "multi"
                | "multiedit"
                | "create"
                | "patch"
                | "replace"
                | "update"
                | "insert"
                | "append"
                | "delete"
                | "remove"
                | "move"
                | "rename"
                | "save"
                | "put"
                | "editor"
                | "applypatch"
                | "copy"
        )
    };
    if !suspect.names.iter().any(|name| segments(name).iter().any(changes)) {
        return Vec::new();
    }
    let commands: Vec<&str> =
        suspect.fields.iter().filter(|field| field.key == "command").map(|field| field.text.as_ref()).collect();
    if !commands.is_empty() && commands.iter().all(|command| *command == "view") {
        return Vec::new();
    }
    let names_file = |key: &str| {
        let key = key.to_lowercase();
        key.contains("path")
            || key.contains("file")
            || matches!(key.as_str(), "target" | "destination" | "dest" | "uri" | "to" | "new_name")
    };
    let named = suspect.fields.iter().filter(|field| names_file(&field.key) && !field.text.contains('\n'));
    named.map(|field| field.text.to_string()).collect()
}

/// The files that a patch changes.
fn patched(text: &str) -> Vec<String> {
    let Some(regex) = PATCHED.as_ref().filter(|_| text.contains("*** ") || text.contains("+++ ")) else {
        return Vec::new();
    };
    regex.captures_iter(text).map(|found| found[1].trim().to_owned()).collect()
}

/// The files that a command changes.
fn written(command: &Command) -> Vec<String> {
    let operands = || command.operands().map(str::to_owned);
    let behind = |options: &[&str]| {
        let args = command.args().windows(2).filter(|pair| options.contains(&pair[0].as_str()));
        let joined = command.args().iter().filter_map(|arg| {
            let (option, value) = arg.split_once('=')?;
            options.contains(&option).then(|| value.to_owned())
        });
        args.map(|pair| pair[1].clone()).chain(joined).collect::<Vec<String>>()
    };
    match command.program.as_str() {
        "tee" | "mv" | "ln" | "touch" | "truncate" | "rm" | "unlink" | "shred" | "chmod" | "chown" | "chgrp"
        | "chattr" | "setfacl" | "vi" | "vim" | "nvim" | "nano" | "emacs" | "ed" | "ex" | "pico" | "sponge"
        | "patch" | "set-content" | "add-content" | "out-file" | "new-item" | "copy-item" | "move-item"
        | "remove-item" | "clear-content" | "del" | "move" | "ren" => operands().collect(),
        "cp" | "install" | "rsync" | "scp" | "copy" => {
            operands().last().into_iter().chain(behind(&["-t", "--target-directory"])).collect()
        }
        "sed" | "gsed" | "perl" | "ruby" | "awk" | "gawk" if in_place(command) => operands().collect(),
        "dd" => command.args().iter().filter_map(|arg| arg.strip_prefix("of=")).map(str::to_owned).collect(),
        "curl" | "wget" => behind(&["-o", "-O", "--output", "--output-document"]),
        "tar" | "unzip" | "bsdtar" => {
            behind(&["-C", "-d", "--directory"]).into_iter().map(|folder| format!("{folder}/x")).collect()
        }
        "crontab" if !command.has("-l") => vec!["crontab".to_owned()],
        "visudo" => vec!["/etc/sudoers".to_owned()],
        "git" if command.has("config") && command.has("--global") && command.operands().count() > 2 => {
            vec!["~/.gitconfig".to_owned()]
        }
        _ => Vec::new(),
    }
}

fn in_place(command: &Command) -> bool {
    let is_option = |arg: &String| {
        arg.starts_with("--in-place") || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('i'))
    };
    command.args().iter().any(is_option)
}

/// What kind of file it is that should not be written.
fn sensitive(path: &str) -> Option<&'static str> {
    let path = normal(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let name = *parts.last()?;
    let folders = &parts[..parts.len() - 1];
    let has = |name: &str| parts.contains(&name);
    match () {
        () if is_secret_file(name) => Some("it holds secrets"),
        () if [".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", "gcloud", ".password-store"]
            .iter()
            .any(|part| has(part)) =>
        {
            Some("credentials are kept there")
        }
        () if folders.contains(&".git") => Some("it is git's own"),
        () if is_startup_file(name) => Some("it is run or read whenever a shell or git starts"),
        () if has(".claude") && name.starts_with("settings")
            || name == ".claude.json"
            || has(".codex")
            || name == ".mcp.json" =>
        {
            Some("it decides what the agent may do")
        }
        () if has("launchagents") || has("launchdaemons") || has("autostart") || path.contains(".config/systemd") => {
            Some("what is there is started with the machine")
        }
        () if is_of_system(&path) => Some("it is the system's"),
        () => None,
    }
}

fn is_secret_file(name: &str) -> bool {
    let is_env = name == ".env"
        || name == ".envrc"
        || name
            .strip_prefix(".env.")
            .is_some_and(|rest| !matches!(rest, "example" | "sample" | "template" | "dist" | "schema" | "d.ts"));
    let is_key = ["pem", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "asc"]
        .iter()
        .any(|ending| name.rsplit_once('.').is_some_and(|(stem, found)| found == *ending && !stem.is_empty()));
    is_env
        || is_key
        || matches!(
            name,
            ".netrc"
                | "_netrc"
                | ".npmrc"
                | ".pypirc"
                | ".git-credentials"
                | ".pgpass"
                | ".my.cnf"
                | ".htpasswd"
                | "authorized_keys"
                | "known_hosts"
                | "id_rsa"
                | "id_dsa"
                | "id_ecdsa"
                | "id_ed25519"
                | "sudoers"
                | "shadow"
                | "passwd"
                | "crontab"
                | "credentials.json"
                | "secrets.json"
                | "secrets.yaml"
                | "secrets.yml"
                | "service-account.json"
        )
}

fn is_startup_file(name: &str) -> bool {
    matches!(
        name,
        ".bashrc"
            | ".bash_profile"
            | ".bash_login"
            | ".bash_logout"
            | ".bash_aliases"
            | ".profile"
            | ".zshrc"
            | ".zshenv"
            | ".zprofile"
            | ".zlogin"
            | ".kshrc"
            | ".cshrc"
            | ".tcshrc"
            | ".login"
            | "config.fish"
            | ".gitconfig"
            | ".xprofile"
            | ".inputrc"
            | "microsoft.powershell_profile.ps1"
            | "profile.ps1"
    )
}

fn is_of_system(path: &str) -> bool {
    if matches!(path, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "/dev/stdin")
        || path.starts_with("/dev/fd/")
        || path.starts_with("/dev/shm/")
    {
        return false;
    }
    let roots = [
        "/etc",
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/boot",
        "/sys",
        "/proc",
        "/dev",
        "/system",
        "/library",
        "/var/spool/cron",
        "/private/etc",
        "c:/windows",
        "c:/program files",
        "c:/program files (x86)",
        "/c/windows",
    ];
    roots.iter().any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
