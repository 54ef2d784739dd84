//! The binary with the real Apptainer.
