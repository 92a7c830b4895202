//! The process layer with real processes. The test binary is supervisor, shim and child at once, so it has a
//! `main` of its own: hidden subcommands first, then the fixtures, then the tests.

#![expect(clippy::disallowed_methods, reason = "the tests start helper processes and arrange files")]

#[path = "process/fixture.rs"]
mod fixture;
#[path = "process/harness.rs"]
mod harness;

mod process {
    pub(crate) mod adoption;
    pub(crate) mod control;
    pub(crate) mod life;
    pub(crate) mod sockets;
}

use std::process::ExitCode;

use harness::test;

fn main() -> ExitCode {
    if let Some(code) = odeon_ensemble::process::run_hidden() {
        return code;
    }
    if let Some(code) = fixture::run() {
        return code;
    }
    use process::{adoption, control, life, sockets};
    harness::run(&[
        test("output_lands_in_the_log", life::output_lands_in_the_log),
        test("logs_rotate_and_keep_whole_lines", life::logs_rotate_and_keep_whole_lines),
        test("a_full_disk_does_not_reach_the_child", life::a_full_disk_does_not_reach_the_child),
        test("the_exit_code_is_recorded", life::the_exit_code_is_recorded),
        test("the_deadly_signal_is_recorded", life::the_deadly_signal_is_recorded),
        test("stop_terminates_the_willing", life::stop_terminates_the_willing),
        test("stop_kills_the_stubborn_after_the_grace", life::stop_kills_the_stubborn_after_the_grace),
        test("descendants_end_with_the_child", life::descendants_end_with_the_child),
        test("what_cannot_start_says_why", life::what_cannot_start_says_why),
        test("the_environment_is_built_not_inherited", life::the_environment_is_built_not_inherited),
        test("one_directory_has_one_shim", life::one_directory_has_one_shim),
        test("a_cancelled_spawn_leaves_nothing", life::a_cancelled_spawn_leaves_nothing),
        test("the_shim_is_small", life::the_shim_is_small),
        test("a_dropped_child_is_adopted", adoption::a_dropped_child_is_adopted),
        test("a_killed_supervisor_is_succeeded", adoption::a_killed_supervisor_is_succeeded),
        test("a_stop_outlives_its_supervisor", adoption::a_stop_outlives_its_supervisor),
        test("an_end_nobody_saw_is_found", adoption::an_end_nobody_saw_is_found),
        test("a_reused_pid_is_nobody", adoption::a_reused_pid_is_nobody),
        test("a_broken_record_is_reported", adoption::a_broken_record_is_reported),
        test("a_lost_shim_takes_its_child_along", adoption::a_lost_shim_takes_its_child_along),
        test("what_a_lost_shim_left_is_cleaned_up", adoption::what_a_lost_shim_left_is_cleaned_up),
        test("a_silent_shim_is_reported_not_replaced", adoption::a_silent_shim_is_reported_not_replaced),
        test("passed_sockets_follow_the_protocol", sockets::passed_sockets_follow_the_protocol),
        test("the_queue_survives_a_killed_child", sockets::the_queue_survives_a_killed_child),
        test("inherited_descriptors_do_not_matter", sockets::inherited_descriptors_do_not_matter),
        test("the_control_socket_is_private", control::the_control_socket_is_private),
        test("nonsense_is_answered_and_survived", control::nonsense_is_answered_and_survived),
        test("connections_are_bounded", control::connections_are_bounded),
        test("idle_connections_are_closed", control::idle_connections_are_closed),
        test("signals_reach_the_child", control::signals_reach_the_child),
    ])
}
