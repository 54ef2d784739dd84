//! Unpacked trees of layers: what steps and running images stand on.

use std::{fs::File, os::fd::OwnedFd, path::PathBuf, time::Duration};

use nd_names::Sha256;
use nd_sandbox::{IdMode, Limits};
use nd_store::{KeyLock, Store, TreeLease};

use super::{
    chain::Chain,
    error::BuildError,
    work::{Desk, Ending, Heard, Order, open, open_nothing},
};
use crate::{
    engine::message::{Job, TREE},
    plan::ImageLayer,
    secret::Veil,
};

/// Lower directories of one overlay, as the kernel has it.
const MAX_LAYERS: usize = 500;
/// So many at a time become one where there are more; fewer, so that not every further layer makes
/// another one.
const FLATTENED: usize = 400;

/// How long to wait before looking again whether another build is done with the same thing.
const WAIT: Duration = Duration::from_millis(20);

/// The tree of one layer, kept in the store while this value lives.
#[derive(Debug)]
pub struct LayerTree {
    lease: TreeLease,
}

impl LayerTree {
    /// The directory to use as a lower directory of an overlay mounted with `userxattr`. Its files
    /// belong to ids inside the namespace of the build's id mode.
    pub fn path(&self) -> PathBuf {
        self.lease.path().join(TREE)
    }

    /// The directory, open as a path: it may be handed to an engine process.
    pub fn open(&self) -> Result<OwnedFd, BuildError> {
        open(&self.path())
    }
}

/// The unpacked trees of `layers` (the lowest first), in the same order. What is missing is unpacked
/// in an engine process; the layers' blobs must be in the store. Of more layers than the kernel stacks
/// the lowest come as one tree.
pub fn layer_trees(
    store: &Store,
    layers: &[ImageLayer],
    ids: IdMode,
    cancel: &nd_report::Cancel,
    note: &mut dyn FnMut(&str),
) -> Result<Vec<LayerTree>, BuildError> {
    let desk = Desk::new(store, ids, cancel);
    desk.trees(&Chain::of(layers, ids), note)
}

/// Names of trees in the store, as an engine takes them.
pub(crate) fn names(trees: &[LayerTree]) -> Vec<String> {
    let name = |tree: &LayerTree| {
        let name = tree.lease.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    trees.iter().map(name).collect()
}

impl Desk<'_> {
    /// The trees of a chain, unpacked where they are missing; more than the kernel stacks come with
    /// the lowest of them as one.
    pub(crate) fn trees(
        &self,
        chain: &Chain,
        note: &mut dyn FnMut(&str),
    ) -> Result<Vec<LayerTree>, BuildError> {
        self.let_engine_in()?;
        self.lowest(chain, chain.keys.len(), note)
    }

    /// The trees of the lowest `count` layers of a chain.
    fn lowest(
        &self,
        chain: &Chain,
        count: usize,
        note: &mut dyn FnMut(&str),
    ) -> Result<Vec<LayerTree>, BuildError> {
        let mut out = Vec::new();
        let mut flat = 0;
        if count > MAX_LAYERS {
            flat = (count - 1) / FLATTENED * FLATTENED;
            out.push(self.flat(chain, flat, note)?);
        }
        for (number, key) in chain.keys.iter().enumerate().take(count).skip(flat) {
            let lease = if let Some(lease) = self.store.tree(key)? {
                lease
            } else {
                let _lock = self.lock(key, note)?;
                match self.store.tree(key)? {
                    Some(lease) => lease,
                    None => self.unpack(chain, number, names(&out), note)?,
                }
            };
            out.push(LayerTree { lease });
        }
        Ok(out)
    }

    /// One tree of the lowest `count` layers.
    fn flat(
        &self,
        chain: &Chain,
        count: usize,
        note: &mut dyn FnMut(&str),
    ) -> Result<LayerTree, BuildError> {
        let Some(key) = chain.flat_key(count) else {
            return Err(BuildError::TooManyLayers {
                count: chain.keys.len(),
                limit: MAX_LAYERS,
            });
        };
        if let Some(lease) = self.store.tree(&key)? {
            return Ok(LayerTree { lease });
        }
        let below = self.lowest(chain, count, note)?;
        let _lock = self.lock(&key, note)?;
        if let Some(lease) = self.store.tree(&key)? {
            return Ok(LayerTree { lease });
        }
        let tree = self.new_tree()?;
        let order = Order {
            lowers: names(&below),
            limits: Limits::default(),
            epoch: 0,
            compression: nd_oci::Compression::None,
            job: Job::Flatten,
            blob: File::from(open_nothing()?),
            more: Vec::new(),
        };
        match self.run(&tree, order, &Veil::default(), &mut |_| {})? {
            Ending::Done(..) => Ok(LayerTree {
                lease: tree.keep(&key)?,
            }),
            Ending::Failed(source) => Err(BuildError::Flatten { count, source }),
            Ending::Exit(..) => Err(BuildError::Cancelled),
        }
    }

    /// Takes the lock of a key; another build that has it is waited for, until cancelled.
    pub(crate) fn lock(
        &self,
        key: &Sha256,
        note: &mut dyn FnMut(&str),
    ) -> Result<KeyLock, BuildError> {
        let mut said = false;
        loop {
            if let Some(lock) = self.store.try_lock(key)? {
                return Ok(lock);
            }
            self.check()?;
            if !said {
                note("waiting for another build that does the same");
                said = true;
            }
            std::thread::sleep(WAIT);
        }
    }

    fn unpack(
        &self,
        chain: &Chain,
        number: usize,
        lowers: Vec<String>,
        note: &mut dyn FnMut(&str),
    ) -> Result<TreeLease, BuildError> {
        let layer = &chain.layers[number];
        let blob = self.store.blob(&layer.digest)?;
        let blob = blob.ok_or(BuildError::NoBlob {
            layer: layer.digest,
        })?;
        let tree = self.new_tree()?;
        let order = Order {
            lowers,
            limits: Limits::default(),
            epoch: 0,
            compression: layer.compression,
            job: Job::Unpack {
                budget: self.budget,
                reserve: self.reserve,
            },
            blob,
            more: Vec::new(),
        };
        let ending = self.run(&tree, order, &Veil::default(), &mut |heard| {
            if let Heard::Note(text) = heard {
                note(text);
            }
        })?;
        let (done, index) = match ending {
            Ending::Done(done, index) => (done, index),
            Ending::Failed(source) => {
                return Err(BuildError::Unpack {
                    layer: layer.digest,
                    source,
                });
            }
            Ending::Exit(..) => return Err(BuildError::Cancelled),
        };
        let (Some(found), Some(index)) = (done.layer, index) else {
            return Err(BuildError::NoBlob {
                layer: layer.digest,
            });
        };
        for (expected, found) in [(layer.digest, found.digest), (layer.diff_id, found.diff_id)] {
            if expected != found {
                return Err(BuildError::Layer {
                    layer: layer.digest,
                    expected,
                    found,
                });
            }
        }
        if !self.store.is_layer(&layer.digest, &layer.diff_id)?
            || self.store.layer_index(&layer.diff_id)?.is_none()
        {
            self.store
                .put_layer(&layer.digest, &layer.diff_id, &index)?;
        }
        Ok(tree.keep(&chain.keys[number])?)
    }

    /// The folder of trees is entered by the engine, whoever it is outside.
    fn let_engine_in(&self) -> Result<(), BuildError> {
        if self.ids.owner().is_none() {
            return Ok(());
        }
        let path = self.store.root().join("trees");
        let fail = || BuildError::io("let the engine enter the store");
        let meta = fs_err::metadata(&path).map_err(fail())?;
        let mut permissions = meta.permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&permissions);
        if mode & 0o001 == 0 {
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, mode | 0o001);
            fs_err::set_permissions(&path, permissions).map_err(fail())?;
        }
        Ok(())
    }
}
