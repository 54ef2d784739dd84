//! What an image offers to its users.

use serde::Serialize;

/// The values behind `DEPLOY_PATH` and `DEPLOY_BINS`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Deploy {
    /// Directories whose executables are offered.
    pub path: Vec<String>,
    /// Executables that are offered.
    pub bins: Vec<String>,
}
