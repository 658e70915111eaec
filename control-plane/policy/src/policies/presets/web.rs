//! Calls that ask the web for something.

use std::sync::LazyLock;

use regex::Regex;

use super::guard::Finding;
use crate::policies::{
    shell::{Command, Reading, segments},
    suspect::Suspect,
};

static REQUESTING_CODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let code = r"(?i)\b(urllib|urlopen|requests|httpx|aiohttp|http\.client|httplib|net::http|open-uri|lwp|axios|xmlhttprequest|socket)\b|\bfetch\s*\(|\bhttps?\.(get|request)\b|\brequire\(.https?.\)|file_get_contents\(.https?:";
    Regex::new(code).ok()
});

static REQUESTING_SCRIPT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)/dev/(tcp|udp)/|net\.webclient|net\.http|system\.net\.sockets").ok());

const REASON: &str = "it makes a request to the web";

pub(super) fn findings(suspect: &Suspect<'_>, reading: &Reading) -> Vec<Finding> {
    let is_match = |regex: &Option<Regex>, text: &str| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let tools = suspect.names.iter().filter(|name| is_web_tool(name)).map(|name| Finding::new(*name, REASON));
    let commands = reading.commands.iter().filter(|command| is_request(command));
    let commands = commands.map(|command| Finding::new(command.line(), REASON));
    let code = reading.code.iter().filter(|code| is_match(&REQUESTING_CODE, code));
    let scripts = reading.scripts.iter().filter(|script| is_match(&REQUESTING_SCRIPT, script));
    let texts = code.chain(scripts).map(|text| Finding::new(text.as_str(), REASON));
    tools.chain(commands).chain(texts).collect()
}

fn is_request(command: &Command) -> bool {
    match command.program.as_str() {
        "curl" | "curlie" | "wget" | "wget2" | "http" | "https" | "httpie" | "xh" | "xhs" | "aria2c" | "axel"
        | "lynx" | "w3m" | "links" | "elinks" | "nc" | "ncat" | "netcat" | "socat" | "telnet" | "ftp" | "lftp"
        | "tftp" | "websocat" | "grpcurl" | "youtube-dl" | "yt-dlp" | "invoke-webrequest" | "iwr"
        | "invoke-restmethod" | "irm" | "start-bitstransfer" | "bitsadmin" | "fetch" => true,
        "openssl" => command.has("s_client"),
        "certutil" => command.args().iter().any(|arg| arg.to_lowercase().contains("urlcache")),
        _ => false,
    }
}

/// Whether a tool of that name asks the web: `WebFetch`, `web_search`, `mcp__fetch__fetch`, `browser_navigate`.
fn is_web_tool(name: &str) -> bool {
    let segments = segments(name);
    let has = |word: &str| segments.iter().any(|segment| segment == word);
    let any = |words: &[&str]| words.iter().any(|word| has(word));
    let is_whole = |words: &[&str]| segments.last().is_some_and(|last| words.contains(&last.as_str()));
    let asks = any(&[
        "fetch", "search", "request", "get", "post", "browse", "open", "read", "download", "navigate", "scrape",
        "crawl",
    ]);
    (any(&["web", "http", "https", "url", "internet", "google", "brave", "tavily", "bing", "duckduckgo"]) && asks)
        || is_whole(&["webfetch", "websearch", "fetch", "curl", "wget", "browse"])
        || any(&["browser", "firecrawl", "playwright", "puppeteer"])
}
