//! Stage, build, test and release NeuroContainers recipes.
