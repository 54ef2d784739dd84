//! The program from the command line: a whole life of a repository, kills, a server, a foreign reader.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod kill;
mod life;
mod server;
