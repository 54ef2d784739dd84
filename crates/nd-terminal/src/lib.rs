//! What every binary shares: streams, colour, progress, exit codes, rendering of diagnostics.
