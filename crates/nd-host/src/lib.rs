//! The machine behind ports: programs, atomic writes, locks, confined directories, clock, environment.
