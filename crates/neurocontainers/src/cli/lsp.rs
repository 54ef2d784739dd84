//! `lsp`.

use std::io::{stdin, stdout};

use nd_terminal::{Failure, FailureKind};

/// The command `lsp`.
pub(super) fn run() -> Result<(), Failure> {
    if crate::lsp::serve(&mut stdin().lock(), &mut stdout().lock())? {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}
