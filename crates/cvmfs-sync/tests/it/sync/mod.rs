//! The reconciler.

mod case;
mod faults;
mod housekeeping;
mod kill;
mod life;
mod menu;
mod plan;
mod stand_in;
mod upstream;
