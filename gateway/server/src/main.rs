//! The Sluice binary.
fn main() {}
