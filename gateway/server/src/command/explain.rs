//! `sluice explain`: computes the stored quote of a redemption again from the frozen terms, and
//! says step by step how it came about. Reads the ledger beside a running process.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use sluice_checkout::explain::{Explanation, explain};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, OrderId, RedemptionId};
use sluice_domain::money;
use sluice_domain::pricing::Quote;
use sluice_domain::redemption::Redemption;

use crate::cli::ExplainArgs;
use crate::data_dir::DataDir;
use crate::ledger_store::LedgerStore;

/// Exit codes, as documented in the help.
const EXIT_DIFFERS: u8 = 1;
const EXIT_UNKNOWN: u8 = 2;

pub(crate) fn run(arguments: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let explanation = match read(arguments) {
        Ok(Some(explanation)) => explanation,
        Ok(None) => {
            super::complain(&anyhow::anyhow!(
                "there is no redemption {}",
                asked(arguments)
            ));
            return Ok(ExitCode::from(EXIT_UNKNOWN));
        }
        Err(error) => {
            super::complain(&error.context("could not explain"));
            return Ok(ExitCode::from(EXIT_UNKNOWN));
        }
    };
    super::say(&if arguments.json {
        json(&explanation)?
    } else {
        words(&explanation)
    });
    Ok(if explanation.same() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DIFFERS)
    })
}

fn read(arguments: &ExplainArgs) -> anyhow::Result<Option<Explanation>> {
    let settings = super::located(&arguments.locate)?;
    let folder = DataDir::existing(&settings.data_dir)?;
    let runtime = super::small_runtime()?;
    let store = runtime.block_on(LedgerStore::open_beside(&settings, &folder))?;
    let ledger = store.ledger();
    let redemption: RedemptionId = match (&arguments.redemption, &arguments.order) {
        (Some(id), _none) => id
            .parse()
            .with_context(|| format!("the redemption id `{id}`"))?,
        (None, order) => {
            let order = order.as_deref().unwrap_or_default();
            let order: OrderId = order
                .parse()
                .with_context(|| format!("the order id `{order}`"))?;
            HashKeys::derive(&ledger.identity().hash_key).redemption_id(&order)
        }
    };
    Ok(runtime.block_on(explain(&*ledger, redemption))?)
}

/// What was asked for, in words.
fn asked(arguments: &ExplainArgs) -> String {
    match (&arguments.redemption, &arguments.order) {
        (Some(id), _none) => id.clone(),
        (None, Some(order)) => format!("of order {order}"),
        (None, None) => String::new(),
    }
}

fn json(explanation: &Explanation) -> anyhow::Result<String> {
    let body = serde_json::json!({
        "redemption_id": explanation.redemption.id,
        "order_id": explanation.redemption.order,
        "status": explanation.redemption.status,
        "same": explanation.same(),
        "stored": sluice_domain::render::QuoteBody::of(&explanation.redemption.record.quote),
        "replayed": sluice_domain::render::QuoteBody::of(&explanation.replayed),
    });
    Ok(serde_json::to_string_pretty(&body)?)
}

fn words(explanation: &Explanation) -> String {
    let redemption = &explanation.redemption;
    let quote = &redemption.record.quote;
    let mut text = String::new();
    // Writing into a string has no way to fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _infallible = text.write_fmt(words);
        text.push('\n');
    };
    line(format_args!(
        "order {} of user {}, redemption {}, quoted at {}",
        redemption.order, redemption.user, redemption.id, redemption.record.now
    ));
    let amount = |minor| money::format(minor, quote.currency);
    line(format_args!(
        "subtotal {} + shipping {} - discount {} = total {} {}",
        amount(quote.subtotal),
        amount(quote.shipping),
        amount(quote.discount),
        amount(quote.total),
        quote.currency.as_str()
    ));
    let mut claim = None;
    for step in &quote.trace {
        if step.claim_id != claim {
            claim = step.claim_id;
            if let Some(heading) = claim.map(|claim| heading(claim, redemption)) {
                line(format_args!("{heading}"));
            }
        }
        let figures = match (step.base, step.amount) {
            (Some(base), Some(result)) => format!(" ({} -> {})", amount(base), amount(result)),
            (None, Some(result)) => format!(" ({})", amount(result)),
            (_, None) => String::new(),
        };
        line(format_args!("  {}: {}{figures}", step.step, step.detail));
    }
    for rejected in &quote.rejected {
        for reason in &rejected.reasons {
            line(format_args!(
                "  claim {} was not applied: {} (expected {}, was {})",
                rejected.claim_id,
                reason.code.as_str(),
                reason.expected,
                reason.actual
            ));
        }
    }
    line(format_args!("{}", verdict(quote, explanation)));
    text.truncate(text.trim_end().len());
    text
}

/// The line above the steps of one claim.
fn heading(claim: ClaimId, redemption: &Redemption) -> String {
    let facts = redemption.record.candidates.iter();
    let Some(facts) = facts.into_iter().find(|facts| facts.claim_id == claim) else {
        return format!("claim {claim}");
    };
    let code = facts.code.as_ref().map(|code| format!(", code {code}"));
    format!(
        "claim {claim} of coupon {} version {}{}",
        facts.coupon,
        facts.version,
        code.unwrap_or_default()
    )
}

fn verdict(stored: &Quote, explanation: &Explanation) -> String {
    if explanation.same() {
        return "computed again from the frozen terms: the same to the last unit".to_owned();
    }
    format!(
        "computed again from the frozen terms: DIFFERENT, total {} instead of {}",
        money::format(explanation.replayed.total, stored.currency),
        money::format(stored.total, stored.currency)
    )
}
