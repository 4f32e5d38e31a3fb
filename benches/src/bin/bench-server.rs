//! `bench-server`: the servers of our own that are measured beside the gateway, each a process of
//! its own.

use anyhow::bail;
use sluice_benches::ruler;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("ruler") => ruler::serve(),
        _other => bail!("usage: bench-server ruler"),
    }
}
