//! Commands that destroy what can't be had back, or open the machine.

use std::sync::LazyLock;

use regex::Regex;

use super::{guard::Finding, paths::is_below_here};
use crate::policies::shell::{Command, Reading, Unseen};

static DESTRUCTIVE_SQL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let sql =
        r"(?i)\b(drop\s+(table|database|schema)|truncate\s+(table\s+)?\w|delete\s+from\s+[\w.`\x22\[\]]+\s*(;|$))";
    Regex::new(sql).ok()
});

static REMOVES_TREES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(rmtree|rm_rf|rmSync|rmdirSync|remove_dir_all|deltree)\b").ok());

static FORK_BOMB: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"([\w.:]+)\s*\(\s*\)\s*\{\s*([\w.:]+)\s*\|\s*([\w.:]+)\s*&\s*\}").ok());

static OPEN_MODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(0*[0-7]?[0-7][0-7][2367]|(\S*,)?[ugo]*[ao][ugo]*[+=][rxXst]*w\S*)$").ok());

pub(super) fn findings(reading: &Reading) -> Vec<Finding> {
    let commands = reading.commands.iter().filter_map(|command| {
        let reason = reason(command)?;
        Some(Finding::new(command.line(), reason))
    });
    let scripts = reading.scripts.iter().filter(|script| is_fork_bomb(script));
    let scripts = scripts.map(|script| Finding::new(script.as_str(), "it starts processes without end"));
    let code = reading.code.iter().filter(|code| matches(&REMOVES_TREES, code));
    let code = code.map(|code| Finding::new(code.as_str(), "it deletes recursively"));
    let writes = reading.writes.iter().filter(|path| is_disk(path));
    let writes = writes.map(|path| Finding::new(path.as_str(), "it overwrites a disk"));
    let runs = reading.runs.map(|unseen| {
        let reason = match unseen {
            Unseen::Downloaded => "it runs what it downloads",
            Unseen::Encoded => "it runs what is encoded",
        };
        Finding::new(reading.scripts.first().map(String::as_str).unwrap_or_default(), reason)
    });
    commands.chain(scripts).chain(code).chain(writes).chain(runs).collect()
}

fn reason(command: &Command) -> Option<&'static str> {
    let has = |arg: &str| command.has(arg);
    let found = match command.program.as_str() {
        "rm" | "unlink" | "srm" | "rimraf" => return removal(command),
        "remove-item" | "ri" | "rd" | "rmdir" | "del" | "erase" => windows_removal(command),
        "find" | "fd" => finds_and_deletes(command),
        "shred" | "wipefs" | "blkdiscard" | "mkswap" | "mke2fs" => return Some("it wipes data"),
        "fdisk" | "sfdisk" | "gdisk" | "parted" => return (!has("-l") && !has("--list")).then_some("it wipes data"),
        "diskutil" => return command.args().iter().any(|arg| arg.starts_with("erase")).then_some("it wipes data"),
        "format" => {
            return command.args().iter().any(|arg| arg.len() == 2 && arg.ends_with(':')).then_some("it wipes data");
        }
        program if program == "mkfs" || program.starts_with("mkfs.") => return Some("it wipes data"),
        "dd" => {
            let disk = command.args().iter().filter_map(|arg| arg.strip_prefix("of=")).any(is_disk);
            return disk.then_some("it overwrites a disk");
        }
        "mv" => return command.operands().any(|path| path == "/dev/null").then_some("it destroys files"),
        "chmod" => return opens(command),
        "chown" | "chgrp" => {
            return (is_recursive(command) && command.operands().skip(1).any(|path| !is_below_here(path)))
                .then_some("it changes the owner of a tree outside of the working directory");
        }
        "shutdown" | "reboot" | "halt" | "poweroff" => return Some("it stops the machine"),
        "init" | "telinit" => return (has("0") || has("6")).then_some("it stops the machine"),
        "systemctl" => {
            return ["poweroff", "reboot", "halt", "kexec"].into_iter().any(has).then_some("it stops the machine");
        }
        "kill" => return kills_all(command).then_some("it ends every process"),
        "killall5" => return Some("it ends every process"),
        "git" => return git(command),
        "crontab" => return has("-r").then_some("it deletes all scheduled jobs"),
        "iptables" | "ip6tables" | "nft" => {
            return (has("-F") || has("--flush") || has("flush")).then_some("it opens the firewall");
        }
        "ufw" => return (has("disable") || has("reset")).then_some("it opens the firewall"),
        "setenforce" => return (has("0") || has("permissive")).then_some("it weakens the machine's security"),
        "terraform" | "tofu" | "pulumi" => return has("destroy").then_some("it destroys infrastructure"),
        "kubectl" | "oc" => return kubectl(command).then_some("it destroys infrastructure"),
        "aws" => return aws(command).then_some("it destroys infrastructure"),
        "dropdb" => return Some("it destroys a database"),
        "psql" | "mysql" | "mariadb" | "sqlite3" | "sqlcmd" | "duckdb" | "clickhouse-client" => {
            let sql = command.args().iter().any(|arg| matches(&DESTRUCTIVE_SQL, arg));
            return sql.then_some("it destroys the data of a database");
        }
        _ => false,
    };
    found.then_some("it deletes recursively")
}

fn removal(command: &Command) -> Option<&'static str> {
    let is_forced = command.has_letter("f") || command.has("--force") || has_word(command, "-force");
    let is_recursive = is_recursive(command) || has_word(command, "-recurse") || command.program == "rimraf";
    let is_wide = command.operands().any(|path| !is_below_here(path));
    match (is_recursive, is_forced, is_wide) {
        _ if command.has("--no-preserve-root") => Some("it deletes recursively"),
        (true, true, _) => Some("it deletes recursively, by force"),
        (true, false, true) => Some("it deletes recursively, outside of the working directory or all of it"),
        (false, _, _) if command.operands().any(|path| matches!(path, "*" | "/*" | "~/*" | "./*" | "$HOME/*")) => {
            Some("it deletes everything in a directory")
        }
        (true, false, false) | (false, _, _) => None,
    }
}

/// Of what is here, it may delete what has a name of some kind.
fn finds_and_deletes(command: &Command) -> bool {
    let start = command.operands().next().unwrap_or(".");
    let is_here = matches!(start, "." | "./") || is_below_here(start);
    let chooses = ["-name", "-iname", "-path", "-regex"].into_iter().any(|option| command.has(option));
    command.has("-delete") && !(is_here && chooses)
}

fn windows_removal(command: &Command) -> bool {
    has_word(command, "-recurse") || has_word(command, "/s") || has_word(command, "-r")
}

fn is_recursive(command: &Command) -> bool {
    command.has_letter("rR") || command.has("--recursive")
}

fn has_word(command: &Command, word: &str) -> bool {
    command.args().iter().any(|arg| arg.eq_ignore_ascii_case(word))
}

fn opens(command: &Command) -> Option<&'static str> {
    if command.operands().next().is_some_and(|mode| matches(&OPEN_MODE, mode)) {
        return Some("it lets everybody write");
    }
    let is_wide = is_recursive(command) && command.operands().skip(1).any(|path| !is_below_here(path));
    is_wide.then_some("it changes the permissions of a tree outside of the working directory")
}

fn kills_all(command: &Command) -> bool {
    let args = command.args();
    args.len() > 1 && args.last().is_some_and(|last| last == "-1" || last == "1")
}

fn git(command: &Command) -> Option<&'static str> {
    let has = |arg: &str| command.has(arg);
    let does = |name: &str| command.operands().any(|operand| operand == name);
    let is_forced = command.has_letter("f") || has("--force");
    match () {
        () if does("push")
            && (is_forced || has("--mirror") || command.operands().any(|operand| operand.starts_with('+'))) =>
        {
            Some("it overwrites the history of a remote repository")
        }
        () if does("reset") && has("--hard") => Some("it throws uncommitted work away"),
        () if does("clean") && is_forced => Some("it throws uncommitted work away"),
        () => None,
    }
}

fn kubectl(command: &Command) -> bool {
    let deletes = command.has("delete");
    deletes && ["--all", "ns", "namespace", "namespaces", "--all-namespaces"].into_iter().any(|arg| command.has(arg))
}

fn aws(command: &Command) -> bool {
    command.has("s3") && (command.has("rb") || (command.has("rm") && command.has("--recursive")))
}

/// `f() { f | f & }`
fn is_fork_bomb(script: &str) -> bool {
    let Some(regex) = &*FORK_BOMB else { return false };
    regex.captures_iter(script).any(|found| found[1] == found[2] && found[2] == found[3])
}

fn is_disk(path: &str) -> bool {
    let disks = ["sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk", "rdisk", "mapper/", "md", "loop"];
    path.strip_prefix("/dev/").is_some_and(|device| disks.iter().any(|disk| device.starts_with(disk)))
}

fn matches(regex: &Option<Regex>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}
