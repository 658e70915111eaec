//! From what is written to what is meant; what can't be meant is an error that names its key.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    thread,
    time::Duration,
};

use luthien_policy::{Audit, BuildError, PolicySet, PolicySetConfig};
use luthien_service::config::{ByteSize, HumanDuration};

use crate::record::{Redaction, Retention};

use super::{
    Config, Database, Invalid, Limits, Section, Timeouts,
    section::{AuditSection, LimitsSection, RedactSection, RetentionSection, TimeoutsSection},
};

const GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8001);
const THREADS_MAX: usize = 1024;
/// A CallStarted has a request in it; below this no client's call would fit.
const MESSAGE_MIN: usize = 64 << 10;
/// gRPC counts the bytes of a message in 32 bits.
const MESSAGE_MAX: usize = 1 << 30;
const AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);
const SIZE_MIN: u64 = 64 << 20;
const LEASE_MIN: Duration = Duration::from_millis(10);

impl Section {
    /// Checks it, builds the policies, and adds the defaults.
    ///
    /// # Errors
    /// The first value that can't be used.
    pub fn check(self) -> Result<Config, Invalid> {
        let config = PolicySetConfig { policies: self.policies, pipeline: self.pipeline, bindings: self.bindings };
        let policies = policies(config)?;
        Ok(Config {
            grpc_listen: address("grpc_listen", self.grpc_listen.as_deref(), GRPC, self.insecure)?,
            http_listen: address("http_listen", self.http_listen.as_deref(), HTTP, self.insecure)?,
            threads: threads(self.threads)?,
            database: Database::check(self.database.as_deref(), self.journal, self.journal_max)?,
            audit: match self.audit {
                AuditSection::Relaxed => Audit::Relaxed,
                AuditSection::Strict => Audit::Strict,
            },
            redaction: redaction(&self.redact)?,
            retention: retention(self.retention)?,
            admin_token: self.admin.token,
            policies,
            hands_over: true,
            limits: limits(self.limits)?,
            timeouts: timeouts(&self.timeouts)?,
        })
    }
}

fn address(key: &str, text: Option<&str>, default: SocketAddr, insecure: bool) -> Result<SocketAddr, Invalid> {
    let Some(text) = text else { return Ok(default) };
    let address = match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => SocketAddr::new(default.ip(), port),
        Some(Err(_)) | None => text
            .parse()
            .map_err(|_| Invalid::new(key, format!("`{text}` is not an address with a port, such as {default}")))?,
    };
    if !address.ip().is_loopback() && !insecure {
        let reason = format!(
            "{address} can be reached from other machines, and nothing there is encrypted: listen on 127.0.0.1, or \
             write `insecure: true` beside it if the network is trusted"
        );
        return Err(Invalid::new(key, reason));
    }
    Ok(address)
}

fn threads(count: Option<usize>) -> Result<NonZeroUsize, Invalid> {
    match count {
        None => Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        Some(count) => NonZeroUsize::new(count)
            .filter(|count| count.get() <= THREADS_MAX)
            .ok_or_else(|| Invalid::new("threads", format!("a number from 1 to {THREADS_MAX} is needed"))),
    }
}

fn redaction(section: &[RedactSection]) -> Result<Redaction, Invalid> {
    let patterns = section.iter().map(|RedactSection { name, pattern }| (name.as_str(), pattern.as_deref()));
    Redaction::new(patterns).map_err(|(at, why)| {
        let key = if why.is_of_name() { "name" } else { "pattern" };
        Invalid::new(format_args!("redact[{at}].{key}"), why.to_string())
    })
}

fn retention(RetentionSection { age, size }: RetentionSection) -> Result<Retention, Invalid> {
    if age.is_some_and(|HumanDuration(age)| age < AGE_MIN) {
        return Err(Invalid::new("retention.age", "at least 1d is needed: it is forgotten by days"));
    }
    if size.is_some_and(|ByteSize(size)| size < SIZE_MIN) {
        return Err(Invalid::new("retention.size", "at least 64MiB are needed"));
    }
    Ok(Retention { age: age.map(Duration::from), size: size.map(|ByteSize(size)| size) })
}

fn limits(section: LimitsSection) -> Result<Limits, Invalid> {
    let default = Limits::default();
    let message = match section.message {
        None => default.message,
        Some(ByteSize(bytes)) => usize::try_from(bytes)
            .ok()
            .filter(|bytes| (MESSAGE_MIN..=MESSAGE_MAX).contains(bytes))
            .ok_or_else(|| Invalid::new("limits.message", "a size from 64KiB to 1GiB is needed"))?,
    };
    Ok(Limits { message })
}

fn timeouts(section: &TimeoutsSection) -> Result<Timeouts, Invalid> {
    let default = Timeouts::default();
    let lease = section.lease.map_or(default.lease, Duration::from);
    if lease < LEASE_MIN {
        return Err(Invalid::new("timeouts.lease", "at least 10ms are needed"));
    }
    Ok(Timeouts {
        lease,
        takeover_wait: section.takeover_wait.map_or(default.takeover_wait, Duration::from),
        drain: section.drain.map_or(default.drain, Duration::from),
    })
}

/// Errors name the policy within the key, for people; the place in the file is found without the name.
fn policies(config: PolicySetConfig) -> Result<PolicySet, Invalid> {
    let names: Vec<_> = config.policies.iter().map(|policy| policy.name.clone()).collect();
    PolicySet::build(config).map_err(|BuildError { key, why }| {
        let named = names.iter().enumerate().find_map(|(i, name)| {
            let rest = key.strip_prefix(&format!("policies[{i}] ({name})"))?;
            Some(Invalid::new(format_args!("policies[{i}]{rest}"), format!("policy {name}: {why}")))
        });
        named.unwrap_or_else(|| Invalid::new(&key, &*why))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};
    use luthien_service::config::Document;

    use super::*;

    fn load(section: &str) -> Result<Config, String> {
        let text = format!("control_plane:\n{section}\n");
        let document = Document::parse("luthien.yaml", &text, |_| None).map_err(|error| error.to_string())?;
        Config::load(&document).map_err(|error| error.to_string())
    }

    fn check(section: &str, expected: &Expect) {
        expected.assert_eq(&load(section).err().unwrap_or_default());
    }

    #[test]
    fn everything_has_a_default() {
        let config = load("  {}").unwrap();
        assert_eq!((config.grpc_listen, config.http_listen), (GRPC, HTTP));
        assert!(matches!(config.database, Database::Sqlite(path) if path == Path::new("luthien.db")));
        assert_eq!(
            (config.audit, config.limits, config.timeouts),
            (Audit::Relaxed, Limits::default(), Timeouts::default())
        );
        assert_eq!(config.retention, Retention::default());
        assert!(config.admin_token.is_none() && config.policies.names().is_empty());
    }

    #[test]
    fn what_is_written_counts() {
        let config = load(
            "  grpc_listen: localhost:0
  http_listen: 0.0.0.0:80
  insecure: true
  threads: 3
  admin: { token: sesame }
  database: sqlite:///var/lib/luthien.db
  audit: strict
  retention: { age: 30d, size: 10GiB }
  limits: { message: 1MiB }
  timeouts: { lease: 200ms, drain: 1s }",
        )
        .unwrap();
        assert_eq!(config.grpc_listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.http_listen.to_string(), "0.0.0.0:80");
        assert_eq!(config.threads.get(), 3);
        assert!(config.admin_token.unwrap().matches("sesame"));
        assert!(matches!(config.database, Database::Sqlite(path) if path == Path::new("/var/lib/luthien.db")));
        assert_eq!((config.audit, config.limits.message), (Audit::Strict, 1 << 20));
        assert_eq!(config.timeouts.lease, Duration::from_millis(200));
        assert_eq!(config.retention, Retention { age: Some(30 * AGE_MIN), size: Some(10 << 30) });
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_word_of_the_operator() {
        check(
            "  grpc_listen: 0.0.0.0:50051",
            &expect![[
                r#"luthien.yaml:2:16: control_plane.grpc_listen: 0.0.0.0:50051 can be reached from other machines, and nothing there is encrypted: listen on 127.0.0.1, or write `insecure: true` beside it if the network is trusted"#
            ]],
        );
        check(
            "  http_listen: \"[::]:8001\"",
            &expect![[
                r#"luthien.yaml:2:16: control_plane.http_listen: [::]:8001 can be reached from other machines, and nothing there is encrypted: listen on 127.0.0.1, or write `insecure: true` beside it if the network is trusted"#
            ]],
        );
    }

    #[test]
    fn a_database_on_a_server_has_a_journal_before_it() {
        let load = |section| match load(section).unwrap().database {
            Database::Postgres { options, journal, journal_bytes_max } => (options, journal, journal_bytes_max),
            Database::Sqlite(path) => panic!("{}", path.display()),
        };
        let (options, journal, bytes) = load("  database: postgres://me:secret@db.example/record?sslmode=require");
        assert_eq!((options.get_host(), options.get_database()), ("db.example", Some("record")));
        assert_eq!((journal.to_str().unwrap(), bytes), ("luthien-journal", 10 << 30));
        let (_, journal, bytes) = load("  database: postgresql://db\n  journal: /var/j\n  journal_max: 64MiB");
        assert_eq!((journal.to_str().unwrap(), bytes), ("/var/j", 64 << 20));
    }

    #[test]
    fn an_address_of_a_database_that_cannot_be_used_is_not_repeated() {
        check(
            "  database: postgres://me:secret@db/record?sslmode=maybe",
            &expect![[
                r#"luthien.yaml:2:13: control_plane.database: this is no address of a database: error with configuration: error with configuration: unknown value "maybe" for `ssl_mode`"#
            ]],
        );
        check(
            "  database: 'postgres://me:secret@db:port/record'",
            &expect![
                "luthien.yaml:2:13: control_plane.database: this is no address of a database: error with configuration: invalid port number"
            ],
        );
    }

    #[test]
    fn a_policy_that_cannot_be_used_is_named_with_its_key_and_line() {
        check(
            "  policies:
    - name: brand
      kind: string_replacement
      config:
        replacements:
          - [foo, bar]
          - ['', bar]
  pipeline: [brand]",
            &expect![
                "luthien.yaml:8:13: control_plane.policies[0].config.replacements[1]: policy brand: the string to find is empty"
            ],
        );
        check(
            "  policies: [{ name: brand, kind: noop }]
  pipeline: [brand, tool-guard]",
            &expect![[
                r#"luthien.yaml:3:21: control_plane.pipeline[1]: no policy is called "tool-guard"; there are: brand"#
            ]],
        );
    }

    #[test]
    fn a_binding_that_cannot_be_used_is_named_with_its_key_and_line() {
        check(
            "  policies: [{ name: brand, kind: noop }]
  bindings:
    - { when: { model: \"gpt-*\" }, pipeline: [brand] }
    - { when: { client: ci }, pipeline: [brand, guard] }",
            &expect![[
                r#"luthien.yaml:5:49: control_plane.bindings[1].pipeline[1]: no policy is called "guard"; there are: brand"#
            ]],
        );
        check(
            "  bindings:
    - when: { header: { Authorization: x } }
      pipeline: []",
            &expect![
                "luthien.yaml:3:40: control_plane.bindings[0].when.header.Authorization: data planes tell only headers that begin with `x-` and do not sound like a credential"
            ],
        );
        check(
            "  bindings:
    - when: {}
      pipeline: []",
            &expect![
                "luthien.yaml:3:13: control_plane.bindings[0].when: it has no condition: for the calls that no binding matches there is `pipeline`"
            ],
        );
        check(
            "  bindings:
    - { when: { modle: x }, pipeline: [] }",
            &expect![
                "luthien.yaml:3:17: control_plane.bindings[0].when.modle: unknown key; expected one of model, client, route, header"
            ],
        );
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_named_with_its_key_and_line() {
        check(
            r"  redact:
    - { name: api_keys }
    - { name: employee, pattern: 'E-(\d{6}' }",
            &expect![[r#"
                luthien.yaml:4:34: control_plane.redact[1].pattern: regex parse error:
                    E-(\d{6}
                      ^
                error: unclosed group"#]],
        );
        check(
            "  redact: [{ name: api_key }]",
            &expect![
                "luthien.yaml:2:20: control_plane.redact[0].name: there is no pattern, and none of that name is built in: there are api_keys, bearer_tokens, private_keys"
            ],
        );
        check(
            "  redact: [{ name: 'what is it', pattern: x }]",
            &expect![
                "luthien.yaml:2:20: control_plane.redact[0].name: a name is made of a-z, A-Z, 0-9, `_` and `-`, 64 at most"
            ],
        );
        check(
            "  redact: [{ name: all, pattern: 'x*' }]",
            &expect!["luthien.yaml:2:34: control_plane.redact[0].pattern: it matches the empty text"],
        );
        let config = load(r"  redact: [{ name: private_keys }, { name: employee, pattern: 'E-\d{6}' }]").unwrap();
        assert_eq!(format!("{:?}", config.redaction), r#"["private_keys", "employee"]"#);
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (section, key) in [
            ("  grpc_listen: here", "control_plane.grpc_listen"),
            ("  threads: 0", "control_plane.threads"),
            ("  database: luthien.db", "control_plane.database"),
            ("  database: 'sqlite://'", "control_plane.database"),
            ("  journal: ''", "control_plane.journal"),
            ("  journal_max: 1MiB", "control_plane.journal_max"),
            ("  limits: { message: 1KiB }", "control_plane.limits.message"),
            ("  retention: { age: 1h }", "control_plane.retention.age"),
            ("  retention: { size: 1MiB }", "control_plane.retention.size"),
            ("  retention: { days: 3 }", "control_plane.retention.days"),
            ("  timeouts: { lease: 0s }", "control_plane.timeouts.lease"),
        ] {
            let error = load(section).err().unwrap();
            assert!(error.contains(&format!("{key}: ")), "{error}");
        }
    }
}
