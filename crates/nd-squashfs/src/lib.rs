//! Squashfs images: read, list and write, in parallel, with hard links and extended attributes.
