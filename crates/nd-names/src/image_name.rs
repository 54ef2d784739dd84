//! Full image names: application, version and build date in one word.

use std::{fmt, str::FromStr};

use crate::{AppName, AppVersion, BuildDate, NameError};

/// The full name of one build, `itksnap_3.6.0_20210322`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    /// The container, variant suffix included.
    pub app: AppName,
    /// Its version.
    pub version: AppVersion,
    /// The day it was built.
    pub date: BuildDate,
}

/// Why text is no full image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// Fewer than three parts separated by `_`.
    #[error("`{text}` is not of the form NAME_VERSION_YYYYMMDD")]
    Parts {
        /// What was given.
        text: String,
    },
    /// One part is not what it should be.
    #[error("image name `{text}`: {source}")]
    Part {
        /// What was given.
        text: String,
        /// What is wrong with the part.
        #[source]
        source: NameError,
    },
}

impl ImageName {
    /// `NAME_VERSION_DATE`, the stem of folder and file names.
    pub fn stem(&self) -> String {
        format!("{}_{}_{}", self.app, self.version, self.date)
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    /// Reads from the right, since names may contain `_`; a final `.simg` or `.sif` is dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stem = text
            .strip_suffix(".simg")
            .or_else(|| text.strip_suffix(".sif"))
            .unwrap_or(text);
        let mut parts = stem.rsplitn(3, '_');
        let (Some(date), Some(version), Some(app)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ImageNameError::Parts { text: text.into() });
        };
        let part = |source| ImageNameError::Part {
            text: text.into(),
            source,
        };
        Ok(Self {
            app: app.parse().map_err(part)?,
            version: version.parse().map_err(part)?,
            date: date.parse().map_err(part)?,
        })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_right() {
        let name: ImageName = "demo_gpu_arm64_1.0_20260101.simg".parse().unwrap();
        assert_eq!(name.app.as_str(), "demo_gpu_arm64");
        assert_eq!(name.stem(), "demo_gpu_arm64_1.0_20260101");
    }

    #[test]
    fn refuses_short_and_unsafe_names() {
        for bad in [
            "",
            "itksnap",
            "itksnap_3.6.0",
            "a_b_c",
            "../x_1_20260101",
            "a_1/2_20260101",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }
}
