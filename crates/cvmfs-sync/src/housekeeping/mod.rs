//! What keeps a repository in order besides its containers: tags, health, lag of servers, a service that
//! watches, and the list for `cvmfs_ducc`.

mod health;
mod lag;
mod tags;
mod unit;
mod wishlist;

pub use health::{Health, Thresholds};
pub use lag::{ServerLag, lag_of};
pub use tags::{KnownTag, old_tags};
pub use unit::{UnitError, systemd_unit};
pub use wishlist::{Naming, Wishlist, WishlistError};
