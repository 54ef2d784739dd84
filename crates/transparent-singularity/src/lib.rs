//! Containers as native commands: finds what an image offers, writes wrappers and modules, and keeps
//! them right.
//!
//! - [`OpenImage`] looks into a SIF file, a squashfs image, a folder or an OCI layout; [`expose`]
//!   finds what it offers, without running it.
//! - [`InstallPlan`] is what will be written, a value that holds a tree; a folder, a tar and a
//!   repository are places it can go to.
//! - [`Site`] is a prefix; [`install`], [`verify`], [`repair`] and [`Site::remove`] change and check
//!   it. A kill at any moment leaves the old state or the new one.
//!
//! The crate knows images, not recipes, and nothing of how images are built.

pub mod cli;
mod error;
mod expose;
mod image;
mod install;
mod installed;
mod names;
mod plan;
mod settings;
mod shpc;
mod site;
mod source;
mod verify;

pub use error::ImageError;
pub use expose::{
    CommandName, CommandNameError, EnvironmentSource, Excludes, ExcludesError, Exposed, Found,
    Group, ImageEnvironment, LeftOut, NeedsRun, Reason, expose, read_environment,
};
pub use image::{Children, ImageFiles, ImageKind, Metadata, OpenImage, Stat, StatKind};
pub use install::{
    InstallError, InstallWish, Installed, Means, environment_text, has_emulator, install,
    run_environment,
};
pub use installed::installed_tree;
pub use names::{choose, compare_versions, nearest};
pub use plan::{
    COMMANDS, ENV, InstallPlan, ModuleFile, Placement, PlanError, PlanOptions, TESTS, Tree,
    TreeBuilder, TreeError, WrapperStyle, activation, deactivation, upstream_uninstall,
};
pub use settings::{
    NetworkSetting, Settings, SettingsError, SiteSetting, SourceKind, SourceSetting, cvmfs_disabled,
};
pub use shpc::{ShpcEntry, ShpcError, container_yaml, write_entry};
pub use site::{
    Applied, InstallRecord, Leftover, MODULES, RecordError, RecordedFile, Removed, STATE, Site,
    SiteError, SourceRecord, Staged, Unpacked, place_image,
};
pub use source::{
    Candidate, Content, ConvertError, FetchContext, Given, ImageSource, ListedImage, Obtained,
    Published, SourceError, UnknownStorage, UnpackError, candidates, obtain, unpack_tree,
    write_sif,
};
pub use verify::{Depth, Finding, Repaired, repair, verify};

pub(crate) use install::share;
pub(crate) use plan::quoted;
pub(crate) use site::{SCRIPT, remove_tree};
pub(crate) use source::room;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
