//! What is tested after a build, and how.

mod deploy;
mod elf;
mod error;
mod exec;
mod libraries;
mod nifti;
mod run;
mod suite;

pub use deploy::{SUITE as DEPLOY_SUITE, deploy_check};
pub use error::CheckError;
pub use run::{Retest, TestWish, run_tests};
