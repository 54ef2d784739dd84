//! What is tested after a build, and how.

mod deploy;
mod elf;
mod libraries;
mod nifti;

pub use deploy::{SUITE as DEPLOY_SUITE, deploy_check};
