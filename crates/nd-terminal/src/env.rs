//! Names of environment variables that our binaries read, in one place so that they are documented.

/// Folder of the cache; without it `$XDG_CACHE_HOME/neurodesk`, then `~/.cache/neurodesk`.
pub const ND_CACHE_DIR: &str = "ND_CACHE_DIR";
/// Deployment file of `neurocommand`, laid over all others.
pub const ND_DEPLOYMENT: &str = "ND_DEPLOYMENT";
/// Folder of the peers that the set-up installed for tests (`apptainer/usr/bin/apptainer` below it).
pub const ND_PEERS: &str = "ND_PEERS";
/// With the value `1`, a test whose peer is absent fails instead of being skipped.
pub const ND_REQUIRE_PEERS: &str = "ND_REQUIRE_PEERS";
/// Set by most continuous integration services: progress bars are off.
pub const CI: &str = "CI";
/// Any value but the empty one turns colour off.
pub const NO_COLOR: &str = "NO_COLOR";
/// Any value but `0` turns colour on even when the stream is no terminal.
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
