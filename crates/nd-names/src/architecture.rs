//! Processor architectures that containers are built for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A processor architecture, by its canonical recipe spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86, `amd64` in OCI and Debian.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm, `arm64` in OCI and Debian.
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// The text names no architecture that containers are built for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported architecture `{text}`, expected `x86_64` or `aarch64`")]
pub struct UnknownArchitecture {
    /// What was given.
    pub text: String,
}

impl Architecture {
    /// All supported architectures, the default first.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture this program was compiled for, if containers are built for it.
    pub fn of_this_program() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// The canonical spelling of recipes: `x86_64` or `aarch64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The spelling of Go, OCI image configurations, SIF and Debian: `amd64` or `arm64`.
    pub fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    /// Reads the canonical spelling or one of the aliases `amd64`, `AMD64`, `arm64`, `ARM64`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" | "amd64" | "AMD64" => Ok(Self::X86_64),
            "aarch64" | "arm64" | "ARM64" => Ok(Self::Aarch64),
            _ => Err(UnknownArchitecture { text: text.into() }),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
