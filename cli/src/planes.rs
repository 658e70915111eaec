//! Both planes in one process, with the same gRPC between them.

use std::net::SocketAddr;

use anyhow::Context;
use luthien_control_plane::ControlPlane;
use luthien_data_plane::{DataPlane, config::Section};
use luthien_service::{
    Shutdown,
    config::{Document, File},
};

/// Both planes, serving.
pub struct Planes {
    data: luthien_data_plane::Running,
    control: luthien_control_plane::Running,
}

impl Planes {
    /// Starts the control plane, and a data plane that asks it unless the file names others.
    pub fn start(document: &Document, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let file: File<Section, serde::de::IgnoredAny> = document.get()?;
        let section = file.data_plane.unwrap_or_default();
        let asks_others = section.names_control_plane();
        let mut data = section
            .check(|variable| std::env::var(variable).ok())
            .map_err(|invalid| document.error_at(&invalid.key, invalid.reason))?;
        let mut control = luthien_control_plane::Config::load(document)?;
        // The calls of this process have no other control plane to go on with.
        control.hands_over = asks_others;
        let drain = control.timeouts.drain.max(data.timeouts.drain);
        shutdown.follow_signals(drain).context("can't catch signals")?;
        let control = ControlPlane::start(control, shutdown)?;
        if !asks_others {
            data.control_plane = vec![format!("http://{}", control.policy_addr()).parse()?];
        }
        let data = DataPlane::start(data, shutdown)?;
        Ok(Self { data, control })
    }

    /// Where clients connect.
    pub fn data_addr(&self) -> SocketAddr {
        self.data.addr()
    }

    /// The control plane.
    pub fn control(&self) -> &luthien_control_plane::Running {
        &self.control
    }

    /// Waits until both have stopped: the record is complete when the last call is.
    pub fn join(self) -> anyhow::Result<()> {
        let data = self.data.join();
        self.control.join()?;
        Ok(data?)
    }
}
