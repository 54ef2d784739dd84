//! NeuroContainers recipes, pure: load, check, variants, lowering to instructions.
