//! The start of a wrapped command: what the launcher reads, decides and calls.
//!
//! - [`LaunchFile`]: the data file beside the wrappers of one container, written at installation;
//! - [`Policy`]: what a site or the owner of a prefix decides for all containers;
//! - [`plan`]: both, the environment and the working directory, as one [`Call`] of Apptainer or
//!   Singularity. It is a pure function but for the questions it asks [`Files`], so that
//!   `explain` prints what the launcher would do;
//! - [`plan_native`]: the same decisions as a [`NativePlan`], for a start without a runtime;
//! - [`script`]: the same as a shell wrapper, for sites that want to read it.
//!
//! The binary `nd-launcher` is installed under the name of every command: it finds its launch file
//! beside itself, plans, and becomes the call by `exec`, or enters the image and becomes the command. Neither knows a command line parser, a
//! serialisation library or threads.

mod find;
mod format;
mod host;
mod launch;
mod plan;
mod policy;
mod quote;
mod script;

pub use find::{Found, find_command};
pub use format::{FormatError, Problem};
pub use host::{AskNames, Files, HostFiles, Kind, own_account, read_file};
pub use launch::{Command, Form, LaunchFile, Text};
pub use plan::{
    Account, Call, EnvironmentScript, ImageAccess, MountKind, NativeEnvironment, NativeMount,
    NativePlan, Note, PlanError, ShellVariable, ShellVariables, Start, Unfit, UnknownScript, What,
    plan, plan_native, source_script,
};
pub use policy::{
    Demand, Gpu, Policy, RuntimeChoice, RuntimeFixed, SITE_POLICY, Temporary, WorkingDirectory,
};
pub use script::script;

/// The name of the binary, where it is installed as itself.
pub const LAUNCHER_PROGRAM: &str = "nd-launcher";
/// The name of the launch file in a container's folder.
pub const LAUNCH_FILE: &str = ".neurodesk-launch";

/// A variable that makes the launcher say why it leaves a start to a runtime.
pub const VERBOSE_VARIABLE: &str = "ND_LAUNCHER_VERBOSE";

/// Status of the launcher when its own files are wrong: broken data, no image.
pub const STATUS_BROKEN: i32 = 125;
/// Status of the launcher when the runtime cannot be executed.
pub const STATUS_CANNOT_EXECUTE: i32 = 126;
/// Status of the launcher when there is no runtime.
pub const STATUS_NOT_FOUND: i32 = 127;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
