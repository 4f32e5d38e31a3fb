//! `bench-memory`: bytes of one idle connection, of one winner in Redis and in the filter, of one
//! cached definition; and whether memory is flat under a load that keeps nothing (`--soak MINUTES`).

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sluice_benches::fill::{History, fill};
use sluice_benches::flags::Flags;
use sluice_benches::load::{Expected, Load};
use sluice_benches::memory::{FLAT, WINNER_GOAL, growth, info, resident, verdict};
use sluice_benches::resp;
use sluice_benches::system::System;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections of the load generator.
const CONNECTIONS: usize = 32;
/// New definitions that are asked for within a second: below what a gateway loads.
const FIRST_LOOKS: usize = 1_500;
/// How often what was turned away is asked for again.
const ATTEMPTS_MAX: usize = 20;
/// How long the filter of a sold-out coupon may take.
const FILTER_WAIT: Duration = Duration::from_secs(60);
/// Requests of a second of the soak, and seconds between its samples.
const SOAK_REQUESTS: usize = 200;
const SAMPLE: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse(
        std::env::args().skip(1),
        &[
            ("connections", 2_000),
            ("winners", 100_000),
            ("definitions", 100_000),
            ("soak", 0),
        ],
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match flags.number("soak") {
            0 => {
                connections(&flags).await?;
                winners(&flags).await?;
                definitions(&flags).await
            }
            minutes => soak(&flags, minutes).await,
        }
    })
}

/// Connections that were used once and are kept.
async fn connections(flags: &Flags) -> anyhow::Result<()> {
    let count = flags.number("connections");
    let settings = [
        ("SLUICE__LIMITS__ENABLED", "false"),
        // Idle they are closed after this.
        ("SLUICE__DATA__HEADER_READ_TIMEOUT_MS", "60000"),
        ("SLUICE__DATA__CONNECTIONS_MAX", "100000"),
    ];
    let system = System::start_with(&flags.sluice, &settings).await?;
    let coupon = system.publish("c", 10, "ledger").await?;
    let request = format!("GET /v1/coupons/{coupon} HTTP/1.1\r\nhost: shop\r\n\r\n");
    // What every process needs once is there before.
    let _warm = open(&system, &request, 50).await?;
    let before = resident(system.pid())?;
    let open = open(&system, &request, count).await?;
    let more = resident(system.pid())? - before;
    report(&format!(
        "idle connection: {:.0} bytes in the gateway ({} open)",
        more / count as f64,
        open.len()
    ));
    Ok(())
}

async fn open(system: &System, request: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(count);
    let mut buffer = vec![0; 16 * 1_024];
    for _connection in 0..count {
        let mut stream = TcpStream::connect(system.data()).await.context(
            "a connection was refused: are enough file descriptors allowed (ulimit -n)?",
        )?;
        stream.write_all(request.as_bytes()).await?;
        let read = stream.read(&mut buffer).await?;
        if !buffer[..read].starts_with(b"HTTP/1.1 200") {
            bail!("void: a page was not answered");
        }
        open.push(stream);
    }
    Ok(open)
}

/// All keys of a coupon with one claim per user, and what others keep for the same.
async fn winners(flags: &Flags) -> anyhow::Result<()> {
    let count = flags.number("winners");
    let system = System::start(&flags.sluice).await?;
    let passes = system.passes(count)?;
    let strangers = system.passes_of("s", 1_000)?;
    let mut redis = system.redis().await?;
    let coupon = system.publish("winners", count, "ledger").await?;
    let before = used(&mut redis).await?;
    claim_all(&system, &coupon, &passes).await?;
    system.settle().await?;
    let ours = (used(&mut redis).await? - before) / count as f64;
    let filter = filter_bytes(&system, &mut redis, &coupon, &strangers).await?;
    system.audit()?;
    let plain = plain_bytes(&mut redis, count).await?;
    report(&format!(
        "winner in Redis: {ours:.0} bytes; one key per user and one stream entry per claim: {plain:.0} \
         bytes; ratio {}",
        verdict(ours / plain, WINNER_GOAL)
    ));
    report(&format!(
        "winner in the filter: {:.2} bytes",
        filter / count as f64
    ));
    Ok(())
}

/// Claims until each pass has its claim: what was shed is asked again, what was granted is repeated.
async fn claim_all(system: &System, coupon: &str, passes: &[String]) -> anyhow::Result<()> {
    for _attempt in 0..ATTEMPTS_MAX {
        let claims = Load::claims(system.data(), coupon, passes);
        let answers = claims.run(CONNECTIONS).await?;
        if answers.with(200) + answers.with(201) + answers.with(202) == passes.len() {
            return Ok(());
        }
    }
    bail!("void: not every pass got its claim")
}

async fn used(redis: &mut resp::Connection) -> anyhow::Result<f64> {
    let text = redis.call(&[b"INFO", b"memory"]).await?;
    info(text.text()?, "used_memory")
}

/// The length of the winner filter that the gateways share.
async fn filter_bytes(
    system: &System,
    redis: &mut resp::Connection,
    coupon: &str,
    strangers: &[String],
) -> anyhow::Result<f64> {
    let until = Instant::now() + FILTER_WAIT;
    loop {
        let claims = Load::claims(system.data(), coupon, strangers);
        claims.run(2).await?;
        let found = redis.call(&[b"KEYS", b"*:f:*"]).await?;
        if let resp::Reply::List(keys) = found
            && let Some(resp::Reply::Text(key)) = keys.first()
        {
            return Ok(redis.call(&[b"STRLEN", key]).await?.number()? as f64);
        }
        if Instant::now() > until {
            bail!("void: no filter was made");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What is written without lanes and tickets: a key for each user, an entry for each claim.
async fn plain_bytes(redis: &mut resp::Connection, count: usize) -> anyhow::Result<f64> {
    let before = used(redis).await?;
    for number in 1..=count {
        let user = format!("u{number:07}");
        let key = format!("coupon:4ZQ2M7K:user:{user}");
        let claim = format!("clm_{number:026}");
        let (user, claim) = (user.as_bytes(), claim.as_bytes());
        redis.call(&[b"SET", key.as_bytes(), claim]).await?;
        let entry: [&[u8]; 7] = [b"XADD", b"plain:out", b"*", b"user", user, b"claim", claim];
        redis.call(&entry).await?;
    }
    Ok((used(redis).await? - before) / count as f64)
}

/// Live coupons, each looked at once.
async fn definitions(flags: &Flags) -> anyhow::Result<()> {
    let count = flags.number("definitions");
    let folder = tempfile::tempdir()?;
    let history = History {
        definitions: count,
        winners: 0,
        rows: 0,
    };
    let filled = fill(&folder.path().join("ledger.sqlite"), history).await?;
    let limits = [("SLUICE__LIMITS__ENABLED", "false")];
    let system = System::start_in(&flags.sluice, folder, &limits)?;
    system.wait_ready().await?;
    let before = resident(system.pid())?;
    for some in filled.definitions.chunks(FIRST_LOOKS) {
        look_at(&system, some).await?;
    }
    let more = resident(system.pid())? - before;
    report(&format!(
        "cached definition: {:.0} bytes in the gateway ({count} held)",
        more / count as f64
    ));
    Ok(())
}

/// Looks until each page was shown: a gateway loads so many new definitions a second and no more.
async fn look_at(system: &System, coupons: &[String]) -> anyhow::Result<()> {
    for _attempt in 0..ATTEMPTS_MAX {
        let pages = Load::pages(system.data(), coupons);
        let answers = pages.run(CONNECTIONS).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if answers.with(200) == coupons.len() {
            return Ok(());
        }
    }
    bail!("void: not every page was shown")
}

/// A steady load of repeats, refusals and pages: nothing new is kept, so nothing may grow.
async fn soak(flags: &Flags, minutes: usize) -> anyhow::Result<()> {
    let system = System::start(&flags.sluice).await?;
    let winners = system.passes(SOAK_REQUESTS)?;
    let strangers = system.passes_of("s", SOAK_REQUESTS)?;
    let coupon = system.publish("soak", SOAK_REQUESTS, "ledger").await?;
    let claims = |passes: &[String]| Load::claims(system.data(), &coupon, passes);
    claim_all(&system, &coupon, &winners).await?;
    let pages = vec![coupon.clone(); SOAK_REQUESTS];
    let (mut gateway, mut redis) = (Vec::new(), Vec::new());
    let ends = Instant::now() + Duration::from_secs(60) * u32::try_from(minutes)?;
    let mut sampled = Instant::now();
    while Instant::now() < ends {
        let begun = Instant::now();
        let answers = claims(&winners).run(8).await?;
        answers.expect(Expected::Replayed, SOAK_REQUESTS)?;
        let answers = claims(&strangers).run(8).await?;
        answers.expect(Expected::SoldOut, SOAK_REQUESTS)?;
        let answers = Load::pages(system.data(), &pages).run(8).await?;
        answers.expect(Expected::Any, SOAK_REQUESTS)?;
        if sampled.elapsed() >= SAMPLE {
            sampled = Instant::now();
            gateway.push(resident(system.pid())?);
            redis.push(resident(system.redis_pid()?)?);
        }
        let second = Duration::from_secs(1);
        tokio::time::sleep(second.saturating_sub(begun.elapsed())).await;
    }
    for (name, samples) in [("gateway", gateway), ("Redis", redis)] {
        let grown = growth(&samples).context("too short: four samples of 30 s at least")?;
        let last = samples.last().copied().unwrap_or(0.0) / 1_048_576.0;
        let flat = verdict(grown, FLAT);
        report(&format!(
            "{name} after {minutes} min: {last:.1} MiB; flat: {flat}"
        ));
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]
fn report(text: &str) {
    println!("{text}");
}
