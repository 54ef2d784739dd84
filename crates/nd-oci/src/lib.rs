//! OCI layouts, archives and configuration; layer tar to and from a layer index; no network.
