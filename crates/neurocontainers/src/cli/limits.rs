//! Limits of steps.

use std::time::Duration;

use clap::Args;
use nd_sandbox::Limits;

use super::cache::parse_size;

/// How much each step may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits of each step")]
pub(super) struct LimitArgs {
    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// Memory that it may use at once, such as 500M or 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Processes and threads that it may have at once
    #[arg(long, value_name = "NUMBER", default_value_t = 16_384)]
    processes: u64,
    /// Room that it leaves free on the disk of the cache
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64M")]
    keep_free: u64,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            time: self.time_limit.map(Duration::from_secs),
            processes: Some(self.processes),
            memory: self.memory,
            reserve: Some(self.keep_free),
            ..Limits::default()
        }
    }
}
