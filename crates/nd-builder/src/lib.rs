//! Build plan, step cache and the embedded engine that turns instructions into layers.
