//! Namespaces, id maps, mounts by descriptor, pivot, seccomp programs over rustix and libc.
