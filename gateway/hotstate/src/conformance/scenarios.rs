//! Stories, one per rule of the protocol. Each needs a fresh implementation.

mod claiming;
mod keeping;
mod stage;

use std::future::Future;

use super::Harness;

/// Tells all stories; `fresh` makes an empty implementation for each.
///
/// # Panics
/// Where a story ends differently than the protocol says.
pub async fn tell_all<H, F>(fresh: impl Fn() -> F)
where
    H: Harness,
    F: Future<Output = H>,
{
    claiming::a_repeat_answers_the_first_grant_whatever_happened_since(&fresh().await).await;
    claiming::answers_come_in_their_order_of_precedence(&fresh().await).await;
    claiming::limits_hold_within_one_call(&fresh().await).await;
    claiming::a_call_takes_from_one_lease(&fresh().await).await;
    claiming::sold_out_needs_final_and_restock_opens_late(&fresh().await).await;
    claiming::final_is_taken_back_as_late_as_stock_comes(&fresh().await).await;
    claiming::a_full_outbox_grants_nothing_and_repeats_go_on(&fresh().await).await;
    claiming::a_filter_is_bound_to_its_proof(&fresh().await).await;
    keeping::a_late_keeper_changes_nothing(&fresh().await).await;
    keeping::a_changed_server_serves_nothing(&fresh().await).await;
    keeping::lost_keys_are_losses(&fresh().await).await;
    keeping::the_lane_lease_ends_grants(&fresh().await).await;
    keeping::a_recovery_numbers_on_and_keeps_what_is_unsalvaged(&fresh().await).await;
    keeping::a_lease_is_installed_once(&fresh().await).await;
    keeping::a_hydration_is_refused_when_anything_moved(&fresh().await).await;
    keeping::a_refusal_takes_back_its_own_entry_only(&fresh().await).await;
    keeping::an_opening_gives_the_lane_to_another_ledger_only_when_told(&fresh().await).await;
    keeping::a_changed_server_still_tells_what_it_saw(&fresh().await).await;
    keeping::a_halt_ends_with_a_higher_epoch(&fresh().await).await;
}
