//! The caller's variables, and which of them reach the command.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{gpu::Offer, runtime::Family};
use crate::{Files, Kind, LaunchFile, Policy};

/// The caller's variables.
pub(super) struct Environment<'a>(pub(super) &'a [(&'a OsStr, &'a OsStr)]);

impl<'a> Environment<'a> {
    /// The value of a variable.
    pub(super) fn get(&self, name: impl AsRef<OsStr>) -> Option<&'a OsStr> {
        let name = name.as_ref();
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The file of X11's cookies, when it exists.
    pub(super) fn authority(&self, policy: &Policy<'_>, files: &dyn Files) -> Option<&'a Path> {
        let path = Path::new(self.get("XAUTHORITY")?);
        (policy.x11 && path.is_absolute() && files.kind(path) == Some(Kind::File)).then_some(path)
    }

    /// The socket of a Wayland display, when it exists.
    pub(super) fn wayland_socket(&self, policy: &Policy<'_>, files: &dyn Files) -> Option<PathBuf> {
        let name = self
            .get("WAYLAND_DISPLAY")
            .filter(|name| !name.is_empty())?;
        if !policy.wayland {
            return None;
        }
        let socket = match self.get("XDG_RUNTIME_DIR") {
            Some(folder) => Path::new(folder).join(name),
            None => PathBuf::from(name),
        };
        (socket.is_absolute() && files.kind(&socket) == Some(Kind::Socket)).then_some(socket)
    }
}

/// What a job's GPUs are told by: without these a command takes those of another job.
pub(crate) const GPU_VARIABLES: &[&str] = &[
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
];

/// The variables that reach the command, besides those that the user hands over.
pub(super) fn passed(
    launch: &LaunchFile<'_>,
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    gpu: Option<Offer>,
) -> Vec<(OsString, OsString)> {
    let mut set: Vec<(OsString, OsString)> = Vec::new();
    // What the user handed over by such a variable stays as it is.
    let given = |name: &OsStr| {
        Family::ALL
            .iter()
            .any(|family| environment.get(family.handed(name)).is_some())
    };
    for (name, value) in &policy.environment {
        if !given(name) {
            set.push((name.clone().into_owned(), value.clone().into_owned()));
        }
    }
    if !policy.clean {
        return set;
    }
    let window = |name: &OsStr| {
        policy.x11 && (name == "DISPLAY" || name == "XAUTHORITY")
            || policy.wayland && (name == "WAYLAND_DISPLAY" || name == "XDG_RUNTIME_DIR")
    };
    let no_wayland = environment.get("WAYLAND_DISPLAY").is_none();
    for (name, value) in environment.0 {
        let wanted = launch
            .pass
            .iter()
            .chain(&policy.pass)
            .any(|pattern| matches(pattern, name))
            || window(name) && !(*name == "XDG_RUNTIME_DIR" && no_wayland)
            || gpu.is_some() && GPU_VARIABLES.iter().any(|known| name == known);
        let fixed = policy.environment.iter().any(|(known, _)| known == name);
        if wanted && !fixed && !given(name) {
            set.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    set
}

/// Whether a name is `pattern`, which may end with `*`.
fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    match pattern.as_bytes().strip_suffix(b"*") {
        Some(prefix) => name.as_bytes().starts_with(prefix),
        None => pattern == name,
    }
}
