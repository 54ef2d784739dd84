//! Every object of a repository, looked at on several threads.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use nd_names::{Sha256, Sha256Hasher};
use nd_report::Cancel;

use super::{Depth, Finding, Object, VerifyError, VerifyOptions, Walk};
use crate::{
    compress::Inflater,
    hash::ObjectHash,
    repository::{ObjectStream, ReadError, shown},
    storage::{Source, StorageError, read_all},
};

/// Looks at every object on several threads. Gives the digests of plain contents, if wanted.
pub(super) fn check_objects(
    source: &dyn Source,
    walk: &mut Walk<'_, '_>,
    options: &VerifyOptions<'_>,
    hash_contents: bool,
    cancel: &Cancel,
) -> Result<HashMap<(ObjectHash, u64), Sha256>, VerifyError> {
    let mut objects: Vec<(&Object, &Vec<u8>)> = walk.objects.iter().collect();
    objects.sort_unstable_by_key(|(object, _)| **object);
    let cores = || std::thread::available_parallelism().ok();
    let threads = options.threads.or_else(cores).map_or(2, NonZeroUsize::get) * 2;
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Finding>> = Mutex::default();
    let failed: Mutex<Option<StorageError>> = Mutex::default();
    let contents: Mutex<HashMap<(ObjectHash, u64), Sha256>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut looker = Looker {
                    source,
                    inflater: Inflater::new(),
                    hash_contents,
                };
                let mut own = Vec::new();
                while !cancel.is_cancelled() {
                    let Some((object, file)) = objects.get(next.fetch_add(1, Ordering::Relaxed))
                    else {
                        break;
                    };
                    match looker.look(object, options.depth) {
                        Ok(Ok(None)) => {}
                        Ok(Ok(Some(content))) => own.push(((object.0, object.2), content)),
                        Ok(Err(problem)) => {
                            let finding = Finding::Object {
                                kind: object.1,
                                object: object.0.path(object.1),
                                file: shown(file),
                                problem,
                            };
                            found
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(finding);
                        }
                        Err(error) => {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            next.store(objects.len(), Ordering::Relaxed);
                        }
                    }
                }
                contents
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(own);
            });
        }
    });
    cancel.check()?;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error.into());
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(ToString::to_string);
    walk.findings.extend(found);
    Ok(contents
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

/// Objects up to this many plain bytes are read at once.
const AT_ONCE: u64 = 32 << 20;

struct Looker<'s> {
    source: &'s dyn Source,
    inflater: Inflater,
    hash_contents: bool,
}

impl Looker<'_> {
    /// A problem of the storage, a problem of the object, or the digest of its content.
    fn look(
        &mut self,
        object: &Object,
        depth: Depth,
    ) -> Result<Result<Option<Sha256>, String>, StorageError> {
        let (hash, kind, size, plain) = object;
        let path = hash.path(*kind);
        if depth == Depth::Existence {
            return Ok(match self.source.size(&path)? {
                Some(0) => Err("it is empty".into()),
                Some(_) => Ok(None),
                None => Err("it is missing".into()),
            });
        }
        if *size > AT_ONCE {
            return self.stream(object);
        }
        let limit = size + size / 100 + (1 << 16);
        let stream = match read_all(self.source, &path, limit) {
            Ok(Some(stream)) => stream,
            Ok(None) => return Ok(Err("it is missing".into())),
            Err(StorageError::TooLarge { .. }) => {
                return Ok(Err("it has far more bytes than its row says".into()));
            }
            Err(error) => return Err(error),
        };
        if hash.algorithm.hash(&stream) != *hash {
            return Ok(Err("its bytes have another hash".into()));
        }
        let bytes = if *plain {
            &stream
        } else {
            match self.inflater.inflate(&stream, *size as usize) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(error.to_string())),
            }
        };
        if bytes.len() as u64 != *size {
            return Ok(Err(format!("it has {} bytes, not {size}", bytes.len())));
        }
        let digest = || Sha256::of(bytes);
        Ok(Ok(self.hash_contents.then(digest)))
    }

    fn stream(
        &self,
        (hash, kind, size, plain): &Object,
    ) -> Result<Result<Option<Sha256>, String>, StorageError> {
        let mut bytes = match ObjectStream::open(self.source, hash, *kind, *size, *plain) {
            Ok(bytes) => bytes,
            Err(ReadError::Storage(error)) => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut digest = Sha256Hasher::default();
        Ok(match std::io::copy(&mut bytes, &mut digest) {
            Ok(_) => Ok(self.hash_contents.then(|| digest.finish())),
            Err(error) => Err(error.to_string()),
        })
    }
}
