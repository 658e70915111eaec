//! Patterns that need only be switched on.

/// By their names.
pub const BUILTIN: [(&str, &str); 3] = [
    ("api_keys", API_KEYS),
    (
        "bearer_tokens",
        r"(?i:(?-u:\b)bearer\s+[a-z0-9._~+/-]{16,}=*)|(?-u:\b)eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*",
    ),
    // In JSON, line breaks may be two characters. One that breaks off is masked to the end.
    (
        "private_keys",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
];

/// Of OpenAI and Anthropic (and those who do alike), Google, AWS, GitHub, GitLab, Slack, Stripe, Hugging Face, xAI, Groq and
/// npm, as they document them.
const API_KEYS: &str = concat!(
    r"(?-u:\b)(?:sk-[A-Za-z0-9_-]{20,}",
    r"|AIza[A-Za-z0-9_-]{35}",
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"|gh[pousr]_[A-Za-z0-9]{36,}",
    r"|github_pat_[A-Za-z0-9_]{22,}",
    r"|glpat-[A-Za-z0-9_-]{20,}",
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"|hf_[A-Za-z0-9]{30,}",
    r"|xai-[A-Za-z0-9]{40,}",
    r"|gsk_[A-Za-z0-9]{40,}",
    r"|npm_[A-Za-z0-9]{36})",
);
