//! One build of a container at a time, and what killed ones left.

use std::{path::Path, time::Duration};

use nd_builder::BuildError;
use nd_host::{FileLock, remove_abandoned};
use nd_report::{Cancel, Event, Reporter};

use super::{PipelineError, build::build_failed};
use crate::stage::{OUTPUT_FOLDER, STAGING};

/// How often it is looked whether another build is over.
const LOOK: Duration = Duration::from_millis(50);

/// Held while a build folder is changed. It dies with its process.
#[derive(Debug)]
pub(super) struct Alone {
    _lock: FileLock,
}

impl Alone {
    /// Waits until nobody else builds `folder`, or the caller asks to stop, and removes what killed builds left beside it and
    /// in it.
    pub(super) fn wait(
        folder: &Path,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<Self, PipelineError> {
        let parent = folder.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent).map_err(PipelineError::io(parent))?;
        let name = folder
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let path = parent.join(format!(".{name}.lock"));
        let fail = || PipelineError::io(&path);
        let mut said = false;
        let lock = loop {
            if let Some(lock) = FileLock::try_exclusive(&path).map_err(fail())? {
                break lock;
            }
            if cancel.is_cancelled() {
                return Err(build_failed(BuildError::Cancelled));
            }
            if !said {
                let text = format!("waiting for another build of `{name}`");
                reporter.event(Event::Note { text: &text });
                said = true;
            }
            std::thread::sleep(LOOK);
        };
        sweep(parent, &format!("{STAGING}+{name}+"));
        // What cannot be removed now is for another run.
        let _ = remove_abandoned(&folder.join(OUTPUT_FOLDER));
        Ok(Self { _lock: lock })
    }
}

/// Removes folders whose names begin so: nobody else may have made them while the lock is held.
fn sweep(folder: &Path, start: &str) {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(start) {
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use nd_report::Silent;

    use super::*;

    #[test]
    fn what_a_killed_build_left_goes_and_what_others_do_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("build/demo");
        for dir in [
            "build/demo/out/oci",
            "build/demo/out/.oci.x.nd-part.d/new",
            "build/.nd-stage+demo+x/cache",
            "build/.nd-stage+demo-2+x",
        ] {
            fs_err::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs_err::write(folder.join("out/.oci.x.nd-part"), "").unwrap();
        let _alone = Alone::wait(&folder, &Silent, &Cancel::default()).unwrap();
        let there = |path: &str| root.path().join(path).exists();
        assert!(there("build/demo/out/oci") && there("build/.nd-stage+demo-2+x"));
        assert!(!there("build/demo/out/.oci.x.nd-part.d") && !there("build/.nd-stage+demo+x"));
        let lock = root.path().join("build/.demo.lock");
        assert!(FileLock::try_exclusive(&lock).unwrap().is_none());
    }
}
