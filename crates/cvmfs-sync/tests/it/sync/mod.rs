//! The reconciler.

mod case;
mod faults;
mod housekeeping;
pub(crate) mod images;
mod kill;
mod life;
mod menu;
mod plan;
mod stand_in;
mod upstream;
