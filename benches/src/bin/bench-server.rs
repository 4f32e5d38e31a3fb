//! `bench-server`: the servers of our own that are measured beside the gateway, each a process of
//! its own.

use std::path::Path;

use anyhow::bail;
use sluice_benches::peers::pool;
use sluice_benches::ruler;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["ruler"] => ruler::serve(),
        ["pool", socket, script] => pool::serve(Path::new(socket), script),
        _ => bail!("usage: bench-server ruler | pool SOCKET SCRIPT"),
    }
}
