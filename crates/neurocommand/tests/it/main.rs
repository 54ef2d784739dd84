//! Tests of the crate from outside: its program, and menus judged by those who read them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests unwrap, run programs and say what they skip, as the tests do"
)]

mod bad;
mod catalogue;
mod finding;
mod images;
mod killed;
mod killed_menu;
mod menu;
mod panel;
mod running;
mod site;
mod support;
mod trying;
mod whole;
