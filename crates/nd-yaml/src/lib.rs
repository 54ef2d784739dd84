//! YAML text to nodes that remember where they stood, with YAML 1.1 values as PyYAML reads them.
