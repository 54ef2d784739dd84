//! Whether the host has a GPU that commands can use.

use std::path::{Path, PathBuf};

use super::options::Options;
use crate::{Files, Gpu, LaunchFile, Policy};

/// A GPU that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Of NVIDIA.
    Nvidia,
    /// Of AMD.
    Rocm,
}

impl Offer {
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Nvidia => "--nv",
            Self::Rocm => "--rocm",
        }
    }
}

/// Folders in which distributions have the driver's library.
pub(crate) const LIBRARIES: &[&str] = &[
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/lib64/nvidia",
    "usr/lib/nvidia",
    "usr/local/nvidia/lib64",
    "usr/lib/wsl/lib",
    "run/opengl-driver/lib",
];

/// The GPU to offer: one whose device *and* driver are there, unless somebody who decides says no or
/// the options name one already.
pub(super) fn option(
    launch: &LaunchFile<'_>,
    policy: &Policy<'_>,
    options: &Options,
    files: &dyn Files,
) -> Option<Offer> {
    // An image that can do nothing with a GPU says so; a site says it for all.
    let wanted = match (policy.gpu, launch.gpu) {
        (Some(Gpu::Off), _) | (_, Some(Gpu::Off)) => return None,
        (Some(gpu), _) => gpu,
        (None, gpu) => gpu.unwrap_or(Gpu::Auto),
    };
    if options.name_gpu() {
        return None;
    }
    let root: PathBuf = policy
        .device_root
        .as_ref()
        .map_or_else(|| "/".into(), |root| PathBuf::from(&**root));
    let there = |path: &str| files.kind(&root.join(path)).is_some();
    let nvidia = || {
        (there("dev/nvidiactl") || there("dev/dxg"))
            && LIBRARIES.iter().any(|folder| {
                files
                    .kind(&root.join(Path::new(folder)).join("libcuda.so.1"))
                    .is_some()
            })
    };
    let rocm = || there("dev/kfd") && there("dev/dri");
    match wanted {
        Gpu::Nvidia | Gpu::Auto if nvidia() => Some(Offer::Nvidia),
        Gpu::Rocm | Gpu::Auto if rocm() => Some(Offer::Rocm),
        _ => None,
    }
}
