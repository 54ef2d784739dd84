//! Test support: hermetic command-line environment, fixtures, hostile trees.
