//! The configuration of a remote policy.

use std::time::Duration;

use http::{Uri, uri::Scheme};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Remote, RemoteAddress, RemoteTls};
use crate::{
    BuildError,
    policies::{durations, object},
    set::Fields,
};

const CONNECT: &str = "2s";
const LEASE: &str = "5s";
const HOLD: &str = "30s";
const MESSAGE_BYTES: usize = 33 << 20;
/// Less would not hold a call's first message.
const MESSAGE_BYTES_MIN: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
    server_name: Option<String>,
}

pub(super) fn read(fields: &mut Fields) -> Result<Remote, BuildError> {
    let address: Option<String> = fields.optional("address")?;
    let address = address.ok_or_else(|| error("address", "it is missing: where is the policy served?"))?;
    let tls = fields.optional::<Tls>("tls")?;
    Ok(Remote {
        address: RemoteAddress { url: url(&address, tls.is_some())?, tls: tls.map(read_tls).transpose()? },
        connect_timeout: duration(fields, "connect_timeout", CONNECT)?,
        lease: duration(fields, "lease", LEASE)?,
        hold_time: duration(fields, "hold_time", HOLD)?,
        consult: fields.optional("consult")?.unwrap_or_default(),
        caller_credentials: fields.optional("caller_credentials")?.unwrap_or_default(),
        message_bytes_max: message_bytes(fields.optional("max_message_bytes")?)?,
    })
}

fn error(key: &str, why: impl Into<String>) -> BuildError {
    BuildError::new(key, why)
}

/// Errors say nothing of what stands there: it may be a credential.
fn url(text: &str, has_tls: bool) -> Result<String, BuildError> {
    let wrong = |why: &str| error("address", why);
    let uri: Uri = text.parse().map_err(|_| wrong("it is no URL: expected http://HOST:PORT or https://HOST:PORT"))?;
    let is_tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(_) | None => return Err(wrong("expected http://HOST:PORT or https://HOST:PORT")),
    };
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| wrong("it names no host"))?;
    match () {
        () if authority.as_str().contains('@') => Err(wrong("it has credentials in it: they would be kept and shown")),
        () if !matches!(uri.path(), "" | "/") || uri.query().is_some() => {
            Err(wrong("it has a path: the service's own is /luthien.v1.PolicyService"))
        }
        () if has_tls && !is_tls => Err(error("tls", "the address is http://, which has none")),
        () => Ok(text.trim_end_matches('/').to_owned()),
    }
}

fn read_tls(tls: Tls) -> Result<RemoteTls, BuildError> {
    let Tls { ca_file, cert_file, key_file, server_name } = tls;
    let identity = match (cert_file, key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        (Some(_), None) => return Err(error("tls.key_file", "it is missing, beside cert_file")),
        (None, Some(_)) => return Err(error("tls.cert_file", "it is missing, beside key_file")),
    };
    Ok(RemoteTls { ca_file, identity, server_name })
}

fn duration(fields: &mut Fields, key: &'static str, default: &str) -> Result<Duration, BuildError> {
    let text = fields.optional::<String>(key)?.unwrap_or_else(|| default.to_owned());
    durations::read(&text).map_err(|why| error(key, why))
}

fn message_bytes(number: Option<usize>) -> Result<usize, BuildError> {
    let number = number.unwrap_or(MESSAGE_BYTES);
    match number >= MESSAGE_BYTES_MIN {
        true => Ok(number),
        false => Err(error("max_message_bytes", format!("{number} is less than {MESSAGE_BYTES_MIN}"))),
    }
}

/// What [`read`] reads.
pub(in super::super) fn schema() -> Value {
    let properties = json!({
        "address": {
            "type": "string",
            "description": "Where the policy is served: http://HOST:PORT or https://HOST:PORT. No credentials.",
        },
        "tls": {
            "type": "object",
            "description": "With https: ca_file (the authorities that are trusted, instead of the system's), cert_file and \
                key_file (who we are), server_name (the name in the service's certificate). Files in PEM, on the machine of \
                each control plane.",
            "properties": {
                "ca_file": { "type": "string" }, "cert_file": { "type": "string" },
                "key_file": { "type": "string" }, "server_name": { "type": "string" },
            },
            "additionalProperties": false,
        },
        "connect_timeout": { "type": "string", "default": CONNECT, "description": "How long a connection may take." },
        "lease": {
            "type": "string",
            "default": LEASE,
            "description": "The longest silence of a service that owes something; after two of them it is lost.",
        },
        "hold_time": {
            "type": "string",
            "default": HOLD,
            "description": "How long it may take to decide: to admit a call, to take what it was told, to settle the rest of \
                a response that is over.",
        },
        "consult": {
            "type": "array",
            "items": { "type": "string" },
            "default": [],
            "description": "The upstreams that it may ask, by their names in the data plane's configuration.",
        },
        "caller_credentials": {
            "type": "boolean",
            "default": false,
            "description": "Whether it may ask with the credentials of the call's client. It never sees them.",
        },
        "max_message_bytes": {
            "type": "integer",
            "minimum": MESSAGE_BYTES_MIN,
            "default": MESSAGE_BYTES,
            "description": "The largest message, either way.",
        },
    });
    let examples = json!([
        { "address": "http://127.0.0.1:50061" },
        {
            "address": "https://policies.example:50061",
            "tls": { "ca_file": "/etc/luthien/policies-ca.pem", "cert_file": "/etc/luthien/me.pem", "key_file": "/etc/luthien/me.key" },
            "connect_timeout": "2s",
            "lease": "5s",
            "hold_time": "30s",
            "consult": ["anthropic"],
            "caller_credentials": false,
            "max_message_bytes": 1_048_576,
        },
    ]);
    object(properties, &["address"], examples)
}
