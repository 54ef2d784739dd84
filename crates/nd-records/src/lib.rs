//! JSON documents that two crates share: release, labels, test report, tree record; versioned.
