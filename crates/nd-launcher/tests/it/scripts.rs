//! Shell wrappers, as shells read and run them.
