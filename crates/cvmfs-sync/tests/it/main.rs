//! The program from the command line: a whole life of a repository, kills, a server, a foreign reader;
//! servers set up from a description.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod beside;
mod between;
mod bucket;
mod copies;
mod inputs;
mod kill;
mod life;
mod machine;
mod place;
mod played;
mod probing;
mod served;
mod server;
mod servers;
mod sync;
