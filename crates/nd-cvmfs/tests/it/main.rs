//! Repositories made, read, changed, damaged and copied.

mod damage;
mod fixture;
mod hostile;
mod lifecycle;
mod peers;
mod trees;
