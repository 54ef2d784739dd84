//! The launcher's file, its plans, and the binary with the real Apptainer.

mod apptainer;
mod files;
mod format;
mod plans;
mod scripts;
