//! Engine process and step supervisor: run a process inside a root file system.
