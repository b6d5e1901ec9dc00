//! Where operators look at a service.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::Args;
use mpc_service::admin::{Readiness, Status, serve_admin};

use crate::arguments::listen;
use crate::failure::Failure;
use crate::output::print;

const DAY: Duration = Duration::from_secs(86_400);

/// An operator's view of a service.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Operation")]
pub struct AdminArguments {
    /// Answers /metrics (Prometheus), /healthz and /readyz there over HTTP, in the clear, to whoever reaches it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<SocketAddr>,
    /// Not ready where the certificate ends in fewer days.
    #[arg(long, default_value_t = 1, value_name = "DAYS")]
    pub min_certificate_days: u32,
}

impl AdminArguments {
    /// Answers as long as the process runs, if that is wanted; `prepared` inferences make a server ready.
    pub fn start(&self, status: &Status, prepared: u64) -> Result<(), Failure> {
        let Some(address) = self.admin else { return Ok(()) };
        let (listener, address) = listen(address)?;
        let needed = Readiness { prepared, valid_for: DAY * self.min_certificate_days };
        let status = status.clone();
        let answer = move || {
            let served = smol::block_on(serve_admin(status, needed, listener, std::future::pending()));
            if let Err(error) = served {
                tracing::error!(%error, "--admin does not answer any more");
            }
        };
        let started = thread::Builder::new().name("mpc admin".to_owned()).spawn(answer);
        started.map_err(|error| Failure::Own(format!("no thread for --admin: {error}")))?;
        print(&format!("admin on {address}\n"))
    }
}
