//! What a site should have installed, as one file, and what it had before.
//!
//! [`SiteLock`] and [`SyncPlan`] are pure. [`States`] is a folder of locks in the state of a prefix.

mod lock;
mod plan;
mod states;

pub use lock::{LockError, Pinned, SiteLock};
pub use plan::SyncPlan;
pub use states::{States, StatesError};
