//! Where the reference data lies that is not part of the repository.

use std::path::{Path, PathBuf};

/// Folder of the corpus: `$ND_CORPUS`, or `../shared/corpus` beside the workspace. `None` after
/// saying `skipped: REASON` when there is none.
#[expect(
    clippy::print_stdout,
    reason = "this is called by tests, whose language that is"
)]
pub fn corpus() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("ND_CORPUS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: no corpus at `{}`; name its folder in ND_CORPUS",
        folder.display()
    );
    None
}
