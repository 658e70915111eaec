//! Those that the planes talk to, following a script: a provider ([`upstream`]), a policy service ([`policy`])
//! and a collector of traces ([`otlp`]).

pub mod otlp;
pub mod policy;
pub mod upstream;

mod gate;

pub use gate::Gate;

use std::time::Duration;

/// How long a test waits for what must happen, before it gives up. Never a measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
///
/// # Panics
/// When it has not happened after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Waits until a look shows what must be seen.
///
/// # Panics
/// When it has not shown after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
