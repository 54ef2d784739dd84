//! Singularity image format: header, descriptors, data objects.
