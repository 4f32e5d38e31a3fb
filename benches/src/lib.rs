//! Criterion benches and the side-by-side measuring harness.
