//! Icons of a folder.

use std::{io, path::Path};

use nd_host::RootDir;

use super::Icons;

/// Larger files are no icons, in bytes.
const LARGEST: u64 = 1 << 20;

/// Icons from a folder on disk, `NAME.png`.
#[derive(Debug)]
pub struct IconFolder(Option<RootDir>);

impl IconFolder {
    /// The icons of `folder`; none without one.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(folder: Option<&Path>) -> io::Result<Self> {
        Ok(Self(folder.map(RootDir::open).transpose()?))
    }
}

impl Icons for IconFolder {
    fn icon(&self, stem: &str) -> Option<Vec<u8>> {
        let root = self.0.as_ref()?;
        // Programs of a container look like the container.
        let plain = stem.split_once('-').map(|(_, container)| container);
        [Some(stem), plain].into_iter().flatten().find_map(|name| {
            let bytes = root.read(format!("{name}.png").as_bytes(), LARGEST).ok()?;
            bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(bytes)
        })
    }
}
