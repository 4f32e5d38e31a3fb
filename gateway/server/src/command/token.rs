//! `sluice token`: user tokens and passes for tests and load, signed with the development key.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::Value;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_domain::terms::Verified;
use sluice_edge::identity::sign::{DevKeyFiles, DevSigner, generate_dev_keys};

use crate::cli::TokenArgs;
use crate::clock::SystemClock;
use crate::data_dir::DataDir;

/// Longest life of a pass, as the gateway gives them out.
const PASS_SECONDS_MAX: u64 = 3_600;
/// Digits of a numbered user.
const NUMBER_DIGITS: usize = 7;

pub(crate) fn run(arguments: &TokenArgs) -> anyhow::Result<ExitCode> {
    let settings = super::dev_settings(&arguments.data_dir, None)?;
    let folder = DataDir::existing(&arguments.data_dir)?;
    let files = generate_dev_keys(&folder.keys())?;
    let signer = signer(arguments, &files, settings.token_parties())?;
    let now = u64::try_from(SystemClock::start().wall().as_millis() / 1_000).unwrap_or(0);
    let life = arguments.ttl.as_secs();
    let life = if arguments.pass {
        life.min(PASS_SECONDS_MAX)
    } else {
        life
    };
    let sign = |user: &str| -> anyhow::Result<String> {
        let shopper = shopper(arguments, user)?;
        Ok(if arguments.pass {
            signer.sign_pass(&shopper, now + life)?
        } else {
            signer.sign_token(&shopper, now + life)?
        })
    };
    let mut out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None => Box::new(std::io::stdout().lock()),
    };
    if let Some(user) = &arguments.user {
        writeln!(out, "{}", sign(user)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let prefix = arguments.prefix.as_deref().unwrap_or("u");
    let mut lines = BufWriter::new(out);
    for number in 1..=arguments.users.unwrap_or(0) {
        let user = format!("{prefix}{number:0NUMBER_DIGITS$}");
        writeln!(lines, "{user},{}", sign(&user)?)?;
    }
    lines.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn signer(
    arguments: &TokenArgs,
    files: &DevKeyFiles,
    (issuer, audience): (&str, &str),
) -> anyhow::Result<DevSigner> {
    let key = arguments.key.as_ref().unwrap_or(&files.token_key);
    let signer = DevSigner::from_file(key, issuer, audience)?;
    Ok(if arguments.pass {
        signer.with_pass_keys(&files.pass_keys)?
    } else {
        signer
    })
}

fn shopper(arguments: &TokenArgs, user: &str) -> anyhow::Result<Shopper> {
    let user = UserId::new(user).with_context(|| format!("the user id `{user}`"))?;
    let mut groups: Vec<Box<str>> = arguments
        .groups
        .iter()
        .map(|group| Box::from(group.as_str()))
        .collect();
    groups.sort();
    let mut verified = arguments
        .verified
        .iter()
        .map(|name| {
            serde_json::from_value::<Verified>(Value::from(name.as_str()))
                .with_context(|| format!("`{name}` cannot be verified; phone, email or identity"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    verified.sort();
    let is_new = match (arguments.new, arguments.existing) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        (true, true) => bail!("a user is new or existing, not both"),
    };
    Ok(Shopper {
        user,
        groups: groups.into(),
        is_new,
        verified: verified.into(),
        device: arguments.device.as_deref().map(Arc::from),
    })
}
