//! Logs: structured, to stderr. Each line carries the fields of the spans it was written in, so that every line of a call
//! has its `call_id`.

mod json;

use std::{
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use clap::{Args, ValueEnum};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::exit::Usage;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The command-line option that picks the format.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// How log lines look; RUST_LOG picks which there are (default: info)
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Begins to log. Called once, before anything that logs; what a process has set up before stays.
///
/// # Errors
/// A `RUST_LOG` that can't be read.
pub fn init(format: LogFormat) -> Result<(), Usage> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = filter(&directives)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A subscriber that is there already was set up by an embedding program or a test, which knows better.
    let _ = subscriber(format, filter, colour, io::stderr).try_init();
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Where it happened, and not its text: that may quote what somebody wrote in a call.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a panic");
}

/// Whether a line counts. A pool complains about each attempt to connect; who asked the pool hears that it failed, and says so
/// with the weight that it has.
fn is_said(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("sqlx_core::pool")
}

fn filter(directives: &str) -> Result<EnvFilter, Usage> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(directives)
        .map_err(|error| Usage::new(format!("RUST_LOG can't be read: {error}")))
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colour);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().event_format(json::Flat).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines.with_filter(filter_fn(is_said)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use expect_test::{Expect, expect};
    use tracing::{Level, debug, info, span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged in a call, without the time at the start of each line.
    fn check(format: LogFormat, directives: &str, expected: &Expect) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter(directives).unwrap(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            info!("ready");
            let call = span!(Level::INFO, "call", call_id = "0189", dialect = tracing::field::Empty);
            let _in_call = call.enter();
            call.record("dialect", "openai-chat");
            let _within = span!(Level::INFO, "upstream", attempt = 2).entered();
            debug!("not of interest");
            warn!(status = 503, ok = false, error = %"over \"there\"", "the upstream failed");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| match line.split_once(r#"","level"#) {
            Some((_, rest)) => format!("\"level{rest}\n"),
            None => line.split_once('Z').map(|(_, rest)| format!("{}\n", rest.trim_start())).unwrap(),
        };
        expected.assert_eq(&text.lines().map(without_time).collect::<String>());
    }

    #[test]
    fn a_line_of_text_has_the_fields_of_its_spans() {
        check(
            LogFormat::Text,
            "",
            &expect![[r#"
            INFO luthien_service::logs::tests: ready
            WARN call{call_id="0189" dialect="openai-chat"}:upstream{attempt=2}: luthien_service::logs::tests: the upstream failed status=503 ok=false error=over "there"
        "#]],
        );
    }

    #[test]
    fn a_line_of_json_has_the_fields_of_its_spans_beside_its_own() {
        check(
            LogFormat::Json,
            "",
            &expect![[r#"
            "level":"INFO","target":"luthien_service::logs::tests","message":"ready"}
            "level":"WARN","target":"luthien_service::logs::tests","call_id":"0189","dialect":"openai-chat","attempt":2,"message":"the upstream failed","status":503,"ok":false,"error":"over \"there\""}
        "#]],
        );
    }

    #[test]
    fn rust_log_picks_the_lines() {
        check(
            LogFormat::Text,
            "error,luthien_service=debug",
            &expect![[r#"
            INFO luthien_service::logs::tests: ready
            DEBUG call{call_id="0189" dialect="openai-chat"}:upstream{attempt=2}: luthien_service::logs::tests: not of interest
            WARN call{call_id="0189" dialect="openai-chat"}:upstream{attempt=2}: luthien_service::logs::tests: the upstream failed status=503 ok=false error=over "there"
        "#]],
        );
        let error = filter("info,call[{=debug").unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG can't be read: "), "{error}");
    }
}
