//! `sluice audit`: every invariant that the stores can show. Reads the ledger beside a running
//! process; hot state is read where it answers. Where a `sluice dev` is stopped, so is its Redis:
//! then a Redis is started on a copy of its files, so that the audit changes nothing.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sluice_control::audit::{self, AuditReport, AuditSource, Rounds};
use sluice_domain::id::CouponId;
use sluice_domain::invariant::{CheckStatus, Verdict};
use sluice_hotstate::LaneStore;
use sluice_hotstate::redis::{RedisHotState, RedisSettings};

use crate::admin_client::read_ready;
use crate::cli::AuditArgs;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::ledger_store::LedgerStore;
use crate::redis_child::{Purpose, RedisChild};

/// Exit codes, as documented in the help.
const EXIT_VIOLATED: u8 = 1;
const EXIT_UNCHECKED: u8 = 2;
/// How often figures are read before the audit says which ones move.
const ROUNDS: Rounds = Rounds {
    most: 20,
    pause: Duration::from_millis(150),
};

pub(crate) fn run(arguments: &AuditArgs) -> anyhow::Result<ExitCode> {
    match report(arguments) {
        Ok(report) => {
            super::say(&if arguments.json {
                json(&report)?
            } else {
                words(&report)
            });
            Ok(match report.verdict {
                Verdict::Exact => ExitCode::SUCCESS,
                Verdict::Violated => ExitCode::from(EXIT_VIOLATED),
                Verdict::Unchecked => ExitCode::from(EXIT_UNCHECKED),
            })
        }
        // What cannot be checked is not violated; scripts tell the two apart by the code.
        Err(error) => {
            super::complain(&error.context("could not check"));
            Ok(ExitCode::from(EXIT_UNCHECKED))
        }
    }
}

fn report(arguments: &AuditArgs) -> anyhow::Result<AuditReport> {
    let coupon: Option<CouponId> = arguments
        .coupon
        .as_deref()
        .map(|text| {
            text.parse()
                .with_context(|| format!("the coupon id `{text}`"))
        })
        .transpose()?;
    let settings = super::located(&arguments.locate)?;
    let folder = DataDir::existing(&settings.data_dir)?;
    let runtime = super::small_runtime()?;
    let store = runtime.block_on(LedgerStore::open_beside(&settings, &folder))?;
    let ledger = store.ledger();
    let _inside = runtime.enter();
    // Lives as long as the audit reads from it.
    let copy = tempfile::tempdir()?;
    let (urls, _child) = hot_state(&settings, &folder, copy.path())?;
    let lanes = ledger.identity().lanes;
    let lanes_store = urls
        .map(|urls| {
            let redis = RedisSettings {
                cluster: settings.hotstate.cluster,
                ..RedisSettings::new(urls)
            };
            RedisHotState::connect(redis, lanes)
        })
        .transpose()?
        .map(|hot| hot as Arc<dyn LaneStore>);
    let source = AuditSource {
        ledger,
        lanes_store,
    };
    Ok(runtime.block_on(async {
        match coupon {
            Some(id) => audit::coupon(&source, id, ROUNDS).await,
            None => audit::everything(&source, ROUNDS).await,
        }
    })?)
}

/// Where hot state answers: the configured Redis, that of a running `dev`, or a copy of a stopped
/// one's.
fn hot_state(
    settings: &Settings,
    folder: &DataDir,
    copy: &Path,
) -> anyhow::Result<(Option<Vec<String>>, Option<RedisChild>)> {
    if !settings.hotstate.redis_urls.is_empty() {
        return Ok((Some(settings.hotstate.redis_urls.clone()), None));
    }
    if folder.lock().is_err() {
        let url = read_ready(folder.root())?.redis_url;
        return Ok((Some(vec![url]), None));
    }
    let files = folder.redis("claims").join("appendonlydir");
    if !files.exists() {
        return Ok((None, None));
    }
    let into = copy.join("redis");
    let target = into.join("appendonlydir");
    std::fs::create_dir_all(&target)?;
    for entry in std::fs::read_dir(&files)? {
        let entry = entry?;
        std::fs::copy(entry.path(), target.join(entry.file_name()))?;
    }
    let child = RedisChild::start(Purpose::Claims, &into, &copy.join("run").join("audit.sock"))?;
    Ok((Some(vec![child.url()]), Some(child)))
}

fn json(report: &AuditReport) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)?)
}

fn words(report: &AuditReport) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    // Writing into a string has no way to fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).unwrap_or_default();
        text.push('\n');
    };
    for coupon in &report.coupons {
        let or = |figure: Option<u64>, otherwise: &str| {
            figure.map_or_else(|| otherwise.to_owned(), |figure| figure.to_string())
        };
        line(format_args!(
            "coupon {}: total {}, granted {}, available {}, quarantined {}, in outbox {}, drift {}",
            coupon.id,
            or(coupon.total, "unlimited"),
            coupon.granted,
            or(coupon.available, "unknown"),
            coupon.quarantined,
            or(coupon.in_outbox, "unknown"),
            coupon
                .drift
                .map_or_else(|| "unknown".to_owned(), |drift| drift.to_string()),
        ));
        if !coupon.moved.is_empty() {
            line(format_args!("  still moving: {}", coupon.moved.join(", ")));
        }
    }
    for check in &report.checks {
        let status = match check.status {
            CheckStatus::Held => "held",
            CheckStatus::Violated => "VIOLATED",
            CheckStatus::Unchecked => "unchecked",
        };
        line(format_args!(
            "{status:<10} {:>2} {} ({} examined)",
            check.invariant, check.name, check.examined
        ));
        for violation in &check.violations {
            line(format_args!("              {violation}"));
        }
    }
    line(format_args!(
        "verdict: {}",
        match report.verdict {
            Verdict::Exact => "exact",
            Verdict::Violated => "violated",
            Verdict::Unchecked => "unchecked",
        }
    ));
    text.trim_end().to_owned()
}
