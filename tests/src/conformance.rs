//! The conformance kit: plays conversations of a proxy with any policy service, and says which rules of the verdict
//! protocol it keeps and which it breaks.
//!
//! It knows nothing of the service's policies, so it checks what has to hold whatever they decide. It shares the generated
//! messages of the protocol with luthien, and no code that judges them. The rules are told in `docs/conformance.md`.

mod cases;
mod events;
mod findings;
mod gate;
mod grammar;
mod line;
mod rule;
mod sound;
mod table;
mod talk;

use std::time::Duration;

pub use findings::{Broken, Findings, Status};
pub use line::Unreachable;
pub use rule::Rule;
pub use table::{json_lines, table};

use line::Service;

/// What is checked, and with how much patience.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the service listens: `host:port`, or an `http://` URL. There is no TLS here.
    pub address: String,
    /// Metadata that each call carries, as a key for the service.
    pub metadata: Vec<(String, String)>,
    /// While the service owes something it speaks once in this time; it is lost when it was silent for two.
    pub lease: Duration,
    /// How long a chunk may be held when nothing more comes.
    pub hold: Duration,
    /// How long the close of a stream may take.
    pub close: Duration,
    /// How many calls run at once where that is what is checked.
    pub crowd: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: String::new(),
            metadata: Vec::new(),
            lease: Duration::from_secs(5),
            hold: Duration::from_secs(60),
            close: Duration::from_secs(30),
            crowd: 100,
        }
    }
}

/// Plays every case. `playing` is told the name of each before it begins.
///
/// # Errors
/// Nobody answers at the address.
pub async fn run(options: &Options, mut playing: impl FnMut(&str)) -> Result<Findings, Unreachable> {
    let service = Service::connect(options).await?;
    let mut findings = Findings::default();
    cases::play(&service, &mut findings, &mut playing).await;
    Ok(findings)
}
