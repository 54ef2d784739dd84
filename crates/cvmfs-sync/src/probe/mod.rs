//! Which servers of a repository are near, fast and up to date, and what a mounted client makes of them.
//!
//! [`measure`] asks servers, [`rank`] orders what they answered, [`ClientState`] is what a client says.
//! [`Remembered`] is what an earlier measurement on the same network found.

mod client;
mod measure;
mod rank;
mod remembered;

pub use client::{ClientServer, ClientState, HostInfo};
pub use measure::{Answer, Measured, ProbeError, ProbeOptions, Transfer, measure};
pub use rank::{MOST_SERVERS, Ranked, Standing, rank};
pub use remembered::{Remembered, network_of};
