//! Content-addressed store on disk: blobs, layer indexes, leases, single flight, prune.
