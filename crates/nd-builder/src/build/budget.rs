//! What a layer of a base may hold.

use serde::{Deserialize, Serialize};

/// What one layer that is unpacked may hold at most: more is refused before the disk is full of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBudget {
    /// Entries.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What becomes of device nodes.
    pub devices: Devices,
}

/// What becomes of device nodes in the layers of a base, which no user namespace may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Devices {
    /// Steps do not see them, which a note says; the image has them.
    LeftOut,
    /// Nothing is built on such a layer.
    Refused,
}

impl Default for LayerBudget {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 1 << 40,
            devices: Devices::LeftOut,
        }
    }
}
