//! The model of a root file system: paths, entries, index, layers, merge, diff, digests; no I/O.
