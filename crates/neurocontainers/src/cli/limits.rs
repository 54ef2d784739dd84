//! Limits of steps.

use std::time::Duration;

use clap::Args;
use nd_builder::{Devices, LayerBudget};
use nd_sandbox::Limits;

use super::cache::parse_size;

/// How much steps may take, and layers may hold.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits of steps and layers")]
pub(super) struct LimitArgs {
    /// Seconds that a step may take
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// Memory that a step may use at once, such as 500M or 20G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Processes and threads that a step may have at once
    #[arg(long, value_name = "NUMBER", default_value_t = 16_384)]
    processes: u64,
    /// Room that stays free on the disk of the cache
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64M")]
    keep_free: u64,
    /// Entries that a layer of the base may have
    #[arg(long, value_name = "NUMBER", default_value_t = LayerBudget::default().entries)]
    max_layer_entries: u64,
    /// Bytes that the files of a layer of the base may have, such as 500M or 20G
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_size,
        default_value_t = LayerBudget::default().bytes
    )]
    max_layer_size: u64,
    /// Refuse a base with device nodes instead of leaving them out of what steps see
    #[arg(long)]
    strict: bool,
}

impl LimitArgs {
    pub(super) fn budget(&self) -> LayerBudget {
        LayerBudget {
            entries: self.max_layer_entries,
            bytes: self.max_layer_size,
            devices: if self.strict {
                Devices::Refused
            } else {
                Devices::LeftOut
            },
        }
    }

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
