//! The supervisor with real servers. The test binary is supervisor, shim and server at once, so it has a `main` of
//! its own: hidden subcommands first, then the servers, then the tests.

#![expect(clippy::disallowed_methods, reason = "the tests start helper processes and arrange files")]

#[path = "process/harness.rs"]
mod harness;
#[path = "supervision/program.rs"]
mod program;
#[path = "supervision/stage.rs"]
mod stage;

mod supervision {
    pub(crate) mod failure;
    pub(crate) mod security;
    pub(crate) mod steering;
    pub(crate) mod succession;
}

use std::process::ExitCode;

use harness::test;

fn main() -> ExitCode {
    if let Some(code) = odeon_ensemble::process::run_hidden() {
        return code;
    }
    if let Some(code) = program::run() {
        return code;
    }
    use supervision::{failure, security, steering, succession};
    harness::run(&[
        test(
            "servers_start_in_the_order_of_their_needs",
            steering::servers_start_in_the_order_of_their_needs,
        ),
        test(
            "down_goes_the_other_way_and_leaves_nothing",
            steering::down_goes_the_other_way_and_leaves_nothing,
        ),
        test("down_while_servers_start_is_down", steering::down_while_servers_start_is_down),
        test(
            "stop_keeps_it_down_and_start_brings_it_back",
            steering::stop_keeps_it_down_and_start_brings_it_back,
        ),
        test(
            "the_stubborn_are_killed_after_their_grace",
            steering::the_stubborn_are_killed_after_their_grace,
        ),
        test("restart_gives_a_new_process", steering::restart_gives_a_new_process),
        test("scaling_adds_and_removes_the_last", steering::scaling_adds_and_removes_the_last),
        test("one_that_leaves_may_stay_after_all", steering::one_that_leaves_may_stay_after_all),
        test("a_stop_overtakes_a_start", steering::a_stop_overtakes_a_start),
        test("what_cannot_be_meant_is_refused", steering::what_cannot_be_meant_is_refused),
        test("a_killed_server_is_back_within_a_second", failure::a_killed_server_is_back_within_a_second),
        test(
            "a_hangup_while_a_server_starts_does_not_end_it",
            failure::a_hangup_while_a_server_starts_does_not_end_it,
        ),
        test("a_shut_down_server_is_back_by_policy", failure::a_shut_down_server_is_back_by_policy),
        test("one_that_dies_at_once_fails_alone", failure::one_that_dies_at_once_fails_alone),
        test("one_that_is_never_ready_is_stopped", failure::one_that_is_never_ready_is_stopped),
        test("waiting_for_what_failed_is_said", failure::waiting_for_what_failed_is_said),
        test("a_killed_registry_costs_nobody_anything", failure::a_killed_registry_costs_nobody_anything),
        test("a_corrupt_registry_file_is_named_and_kept", failure::a_corrupt_registry_file_is_named_and_kept),
        test("a_killed_supervisor_is_succeeded", succession::a_killed_supervisor_is_succeeded),
        test("what_has_changed_is_replaced", succession::what_has_changed_is_replaced),
        test(
            "what_is_not_in_the_file_is_stopped_first",
            succession::what_is_not_in_the_file_is_stopped_first,
        ),
        test("what_died_meanwhile_is_started", succession::what_died_meanwhile_is_started),
        test("what_comes_up_late_is_taken_over", succession::what_comes_up_late_is_taken_over),
        test(
            "two_domains_of_one_home_leave_each_other_alone",
            succession::two_domains_of_one_home_leave_each_other_alone,
        ),
        test("a_second_supervisor_is_refused", succession::a_second_supervisor_is_refused),
        test(
            "every_remote_entry_point_is_what_the_page_says",
            security::every_remote_entry_point_is_what_the_page_says,
        ),
        test("strict_servers_believe_no_user", security::strict_servers_believe_no_user),
    ])
}
