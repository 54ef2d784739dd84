//! Set-up, checks, pipelines and benches of this workspace.

fn main() {}
