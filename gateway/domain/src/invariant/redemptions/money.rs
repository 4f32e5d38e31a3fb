//! Invariant 10: the amounts of one redemption add up.

use super::super::Check;
use crate::redemption::{Redemption, RedemptionStatus};
use crate::refund;
use crate::terms::MinorUnits;

pub(super) fn look_at(check: &mut Check, redemption: &Redemption) {
    quote(check, redemption);
    refunds(check, redemption);
}

fn quote(check: &mut Check, redemption: &Redemption) {
    let id = redemption.id;
    let (cart, quote) = (&redemption.record.cart, &redemption.record.quote);
    let whole = quote.subtotal == cart.subtotal()
        && quote.shipping == cart.shipping
        && quote.total == quote.subtotal + quote.shipping - quote.discount
        && quote.total >= 0;
    check.expect(whole, || {
        format!(
            "redemption {id}: {} and shipping {} less {} is not {}",
            quote.subtotal, quote.shipping, quote.discount, quote.total
        )
    });
    let values: MinorUnits = quote.applied.iter().map(|applied| applied.value).sum();
    check.expect(values == quote.discount, || {
        format!(
            "redemption {id}: claims take off {values}, the quote says {}",
            quote.discount
        )
    });
    for applied in &quote.applied {
        let shares: MinorUnits = applied.lines.iter().map(|share| share.off).sum();
        check.expect(shares + applied.shipping_off == applied.value, || {
            format!(
                "redemption {id}: claim {} takes off {}, its shares come to {shares} and shipping \
                 {}",
                applied.claim_id, applied.value, applied.shipping_off
            )
        });
    }
    for line in &cart.lines {
        let shares = quote.applied.iter().flat_map(|applied| &applied.lines);
        let of_line = shares.filter(|share| share.id == line.id);
        let off: MinorUnits = of_line.map(|share| share.off).sum();
        check.expect((0..=line.amount()).contains(&off), || {
            format!(
                "redemption {id}: {off} is taken off line {}, which costs {}",
                line.id,
                line.amount()
            )
        });
    }
}

fn refunds(check: &mut Check, redemption: &Redemption) {
    let id = redemption.id;
    let (paid, out) = (redemption.paid(), redemption.paid_out());
    let owed = redemption.refunds.last().map_or(0, |refund| refund.owed);
    let each = redemption.refunds.iter();
    let positive = each
        .clone()
        .all(|refund| refund.amount >= 0 && refund.owed >= 0);
    check.expect(positive && out <= paid && owed <= out, || {
        format!("redemption {id}: {out} of {paid} paid is given back, {owed} owed")
    });
    let returned = refund::returned(&redemption.record.cart, &redemption.refunds);
    let all = refund::is_everything(&redemption.record.cart, &returned);
    let settled = out == paid && owed == 0;
    check.expect(
        all == (redemption.status == RedemptionStatus::Refunded) && (!all || settled),
        || {
            format!(
                "redemption {id} is {:?}; everything is back: {all}; given back {out} of {paid}",
                redemption.status
            )
        },
    );
    for line in &redemption.record.cart.lines {
        let pieces = returned.get(&line.id).copied().unwrap_or(0);
        check.expect(pieces <= line.quantity, || {
            format!(
                "redemption {id}: {pieces} pieces of line {} are back, of {}",
                line.id, line.quantity
            )
        });
    }
}
