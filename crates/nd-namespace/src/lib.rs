//! Namespaces, id maps, mounts by descriptor, pivot, seccomp programs over rustix and libc.
//!
//! One thin safe function per thing the kernel does. Policy (what is mounted where, which ids are
//! mapped, who supervises whom) is `nd-sandbox`'s.

mod beside;
mod capability;
mod exec;
mod loop_device;
mod loopback;
mod mount;
mod seccomp;
mod spawn;
mod thread;

pub use capability::{ContainerCapabilities, drop_capabilities, drop_from_bounding_set};
pub use exec::{close_on_exec_from, exec, ignore_signals, reset_signals, set_stdio};
pub use loop_device::loop_device;
pub use loopback::loopback_up;
pub use mount::{
    Attributes, Filesystem, MAX_LOWERS, attach, clone_tree, make_private, make_slave, overlay,
    pivot, set_attributes, union,
};
pub use rustix::thread::UnshareFlags as Namespaces;
pub use seccomp::{
    Asked, BlockList, FakeRoot, Listener, PathArgument, PathUse, PathWatch, Program,
    UnsupportedArchitecture,
};
pub use spawn::{Child, spawn, spawn_detached};
pub use thread::{Fork, NotSingleThreaded, SingleThreaded};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
