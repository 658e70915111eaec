//! Paths, as commands and tools name them.

/// A path in one form: forward slashes, no `.` and no `..` that can be resolved, the home directory as `~`, in lower case.
pub(super) fn normal(path: &str) -> String {
    let path = path.trim().trim_matches(['"', '\'']).replace('\\', "/").to_lowercase();
    let path = path.strip_prefix("file://").unwrap_or(&path);
    let home = ["$home", "${home}", "%userprofile%", "$env:userprofile"].into_iter();
    let path =
        home.filter_map(|home| path.strip_prefix(home)).next().map_or(path.to_owned(), |rest| format!("~{rest}"));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// A path within a folder.
pub(super) fn within(folder: &str, path: &str) -> String {
    match path.starts_with(['/', '~', '$']) {
        true => path.to_owned(),
        false => format!("{folder}/{path}"),
    }
}

/// Whether it names something below the working directory, or below a temporary one, and not all of it.
pub(super) fn is_below_here(path: &str) -> bool {
    let path = normal(path);
    let temporary = path.strip_prefix("/tmp/").or_else(|| path.strip_prefix("/var/tmp/"));
    let below = temporary.unwrap_or(&path);
    let is_here = !below.starts_with(['/', '~', '$', '%']) && !below.split('/').any(|part| part == "..");
    let is_all = matches!(below, "" | "*" | ".*" | ".[!.]*" | ".git") || below.starts_with("-");
    let has_drive = below.get(1..2) == Some(":");
    is_here && !is_all && !has_drive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        let cases = [
            ("./a//b/../c", "a/c"),
            ("../a", "../a"),
            ("/a/../etc/./passwd", "/etc/passwd"),
            ("$HOME/.ssh", "~/.ssh"),
            ("${HOME}/.ssh/", "~/.ssh"),
            ("C:\\Windows\\x", "c:/windows/x"),
            ("\"a b\"", "a b"),
        ];
        for (path, expected) in cases {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_below_is_not_all_of_it() {
        for path in ["node_modules", "./build/", "a/../b", "/tmp/x", "*.pyc", "build/*"] {
            assert!(is_below_here(path), "{path}");
        }
        for path in [
            "/",
            "/*",
            "~",
            "~/x",
            ".",
            "./",
            "*",
            "./*",
            "..",
            "../x",
            "a/../../b",
            "$HOME",
            "/etc",
            "/tmp",
            "/tmp/*",
            "c:\\",
            ".git",
            "",
        ] {
            assert!(!is_below_here(path), "{path}");
        }
    }
}
