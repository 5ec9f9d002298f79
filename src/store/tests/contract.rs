//! What every store promises. Each function here is run on the store in memory and on a real etcd.

mod leases;
mod lists;
mod txns;
mod watches;

/// Runs each named function on both stores.
macro_rules! on_both_stores {
    ($($suite:ident :: $name:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$suite::$name(std::sync::Arc::new(encamp_store::MemoryStore::new())).await;
            })*
        }

        mod on_etcd {
            $(#[tokio::test]
            async fn $name() {
                let etcd = encamp_testkit::Etcd::spawn().await;
                super::$suite::$name(crate::support::connect(&etcd.url())).await;
            })*
        }
    };
}

on_both_stores! {
    txns::every_field_compares_with_every_relation,
    txns::no_comparison_of_an_absent_value_holds,
    txns::all_writes_share_one_revision_and_reads_see_the_writes_before_them,
    txns::a_failed_compare_takes_the_other_branch_in_whole,
    txns::what_changes_nothing_makes_no_revision,
    txns::a_branch_holds_128_operations_and_not_129,
    txns::a_request_holds_a_mebibyte_and_not_two,
    txns::a_key_is_put_once_in_a_branch_and_not_deleted_beside,
    txns::an_unknown_lease_fails_the_branch_that_uses_it,
    lists::a_list_is_one_revision_of_exactly_its_range_in_order,
    lists::ranges_may_have_no_bounds_but_not_be_empty,
    lists::a_get_tells_a_revision_that_has_everything_before_it,
    lists::records_keep_etcds_bookkeeping,
    lists::a_server_tells_of_itself,
    watches::history_then_news_each_once_and_nothing_else,
    watches::a_watch_begins_in_the_future_if_told_so,
    watches::a_deletion_tells_key_and_revision_and_no_more,
    watches::a_burst_arrives_whole_and_in_order,
    watches::history_arrives_whole_and_in_order,
    watches::large_history_arrives_in_whole_revisions,
    watches::compacted_history_is_said_to_be_gone,
    watches::a_dropped_watch_disturbs_nobody,
    leases::the_end_of_a_lease_deletes_its_keys_in_one_revision,
    leases::an_expired_lease_deletes_its_keys_and_not_too_early,
    leases::a_renewed_lease_lives_on,
    leases::a_put_takes_a_key_off_its_lease,
}
