//! Running the user's commands: over the image as it is, and over what would be left.

use std::path::PathBuf;

use nd_builder::{ImageLayer, ImageState, LayerTree, layer_trees};
use nd_report::Cancel;
use nd_rootfs::{Entry, Index, LayerEntry};
use nd_runtime::{
    Bind, IdMode, Recorded, RunSpec, Runtime as _, SandboxImage, SandboxRuntime, Stream,
};
use nd_store::Store;

use super::{error::MinifyError, image::put_layer, usage::Removal};

/// Reads the environment that a SIF keeps in scripts, then does what it is told.
const SIF_SHELL: &str = "for nd_file in /.singularity.d/env/*.sh; do \
    if [ -f \"$nd_file\" ]; then . \"$nd_file\"; fi; done; unset nd_file; exec /bin/sh -c \"$1\"";

/// How commands are run.
#[derive(Debug, Clone)]
pub(super) struct Commands {
    /// Each is a line of shell.
    pub(super) lines: Vec<String>,
    /// What of the host they see.
    pub(super) binds: Vec<Bind>,
    /// Whether they are started through the entry point of the image.
    pub(super) through_entrypoint: bool,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// The image, unpacked.
pub(super) struct Stage<'a> {
    pub(super) store: &'a Store,
    pub(super) ids: IdMode,
    pub(super) cancel: &'a Cancel,
    pub(super) layers: &'a [ImageLayer],
    pub(super) state: &'a ImageState,
    pub(super) is_sif: bool,
    pub(super) commands: &'a Commands,
}

/// Hears what commands say, line by line.
pub(super) type OnLine<'a> = &'a mut dyn FnMut(Stream, &[u8]);

impl Stage<'_> {
    /// Unpacks the image, unless the store has it unpacked.
    pub(super) fn unpack(&self) -> Result<(), MinifyError> {
        let note = &mut |_: &str| {};
        layer_trees(self.store, self.layers, self.ids, self.cancel, note)?;
        Ok(())
    }

    /// Runs all commands over the image, each seeing what those before it changed, and takes down what
    /// they look at. Stops after the first that fails.
    pub(super) fn record(
        &self,
        mask: Option<&ImageLayer>,
        on_line: OnLine<'_>,
    ) -> Result<(Vec<Outcome>, Vec<Recorded>), MinifyError> {
        let (_trees, runtime) = self.runtime(mask)?;
        let mut outcomes = Vec::new();
        let mut records = Vec::new();
        for line in &self.commands.lines {
            let (output, recorded) = runtime.record(&self.spec(line), on_line)?;
            if recorded.missed > 0 {
                return Err(MinifyError::Incomplete {
                    command: line.clone(),
                    missed: recorded.missed,
                });
            }
            let outcome = Outcome {
                status: output.status,
                stdout: output.stdout,
                stderr: output.stderr,
            };
            records.push(recorded);
            let failed = outcome.status != 0;
            outcomes.push(outcome);
            if failed {
                break;
            }
        }
        Ok((outcomes, records))
    }

    /// Runs all commands; stops after the first that fails.
    pub(super) fn run(&self, mask: Option<&ImageLayer>) -> Result<Vec<Outcome>, MinifyError> {
        let (_trees, runtime) = self.runtime(mask)?;
        let mut outcomes = Vec::new();
        for line in &self.commands.lines {
            let output = runtime.run(&self.spec(line), &mut |_, _| {})?;
            outcomes.push(Outcome {
                status: output.status,
                stdout: output.stdout,
                stderr: output.stderr,
            });
            if output.status != 0 {
                break;
            }
        }
        Ok(outcomes)
    }

    fn spec(&self, line: &str) -> RunSpec {
        let mut words: Vec<String> = Vec::new();
        if self.commands.through_entrypoint {
            words.extend(self.state.entrypoint.iter().cloned());
        }
        words.extend(["/bin/sh".into(), "-c".into()]);
        if self.is_sif {
            words.extend([SIF_SHELL.into(), "sh".into()]);
        }
        words.push(line.to_owned());
        RunSpec {
            binds: self.commands.binds.clone(),
            cancel: self.cancel.clone(),
            ..RunSpec::new(words)
        }
    }

    /// With `mask` as one more layer, which hides what would be gone.
    fn runtime(
        &self,
        mask: Option<&ImageLayer>,
    ) -> Result<(Vec<LayerTree>, SandboxRuntime), MinifyError> {
        let mut layers = self.layers.to_vec();
        layers.extend(mask.copied());
        let trees = layer_trees(self.store, &layers, self.ids, self.cancel, &mut |_| {})?;
        let lowers: Vec<PathBuf> = trees.iter().rev().map(LayerTree::path).collect();
        let image = SandboxImage {
            lowers,
            env: self.state.run_env(),
            user: Some(self.state.user.clone()).filter(|user| !user.is_empty()),
            working_dir: Some(self.state.directory().to_owned()),
        };
        Ok((
            trees,
            SandboxRuntime::new(image, self.ids).keeping_changes(),
        ))
    }

    /// A layer that hides what goes.
    pub(super) fn mask(&self, index: &Index, removal: &Removal) -> Result<ImageLayer, MinifyError> {
        let mut entries: Vec<LayerEntry> = Vec::new();
        let mut named = std::collections::BTreeSet::new();
        for top in removal.tops(index) {
            let Some(entry) = index.get(top) else {
                continue;
            };
            for dir in entry.path.ancestors() {
                if let Some(above) = index.get(dir)
                    && named.insert(dir.to_vec())
                {
                    entries.push(LayerEntry::Entry(above.clone()));
                }
            }
            entries.push(LayerEntry::Whiteout(entry.path.clone()));
        }
        let none = |_: &Entry| -> std::io::Result<Box<dyn std::io::Read>> {
            Err(std::io::ErrorKind::NotFound.into())
        };
        put_layer(self.store, &entries, &mut { none })
    }
}
