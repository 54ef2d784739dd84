//! Real builds in the real sandbox, on a base of one static busybox, without a network.
//!
//! The engine is this program, executed again, so `main` is ours and not the test harness's.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_imports,
    reason = "helpers of tests unwrap and say what they skip, as the tests do"
)]

mod cache;
mod copies;
mod faults;
mod hostile;
mod instructions;
mod layers;
mod looking;
mod support;

use libtest_mimic::{Arguments, Trial};

macro_rules! trials {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            if support::ready() {
                $module::$name();
            }
            Ok(())
        })),*]
    };
}

fn main() {
    nd_sandbox::hook(&[nd_builder::role()]);
    if faults::is_child() {
        faults::child();
        return;
    }
    let trials = trials![
        instructions::steps_see_what_came_before_them,
        instructions::users_are_those_of_the_image,
        instructions::configuration_makes_no_layer,
        instructions::build_only_things_leave_no_trace,
        instructions::scripts_share_a_folder_that_no_layer_holds,
        copies::files_and_folders_arrive_as_docker_puts_them,
        copies::links_of_the_image_are_followed_inside_it,
        copies::stages_are_copied_from,
        copies::nothing_outside_of_the_context_is_copied,
        layers::removals_and_replacements_become_whiteouts,
        layers::attributes_survive_a_step,
        layers::steps_that_change_nothing_make_no_layer,
        layers::equal_plans_give_equal_digests,
        layers::trees_come_back_from_their_blobs,
        layers::a_file_of_more_than_8_gb_is_kept,
        layers::more_layers_than_the_kernel_stacks_stand_on_each_other,
        cache::a_second_build_starts_nothing,
        cache::a_change_is_built_from_where_it_is,
        cache::what_stood_on_other_bytes_is_built_again,
        cache::two_builds_share_their_work,
        cache::what_was_pruned_is_built_again,
        looking::a_build_stops_after_a_step_and_tells_what_it_knows,
        looking::a_shell_looks_at_what_a_failed_step_left,
        looking::a_secret_is_read_and_kept_nowhere,
        looking::a_secret_in_a_layer_is_refused,
        hostile::a_step_that_takes_too_much_is_ended_and_named,
        hostile::a_step_that_fills_the_disk_is_ended_and_named,
        hostile::what_is_not_there_is_named_with_its_place,
        hostile::layers_that_lie_or_explode_are_refused,
        hostile::budgets_are_named_when_they_are_used_up,
        hostile::devices_of_a_base_stay_in_the_image,
        faults::a_failing_step_says_where_and_what,
        faults::a_step_can_be_cancelled_and_timed_out,
        faults::a_killed_build_goes_on_where_it_was,
        faults::an_ordinary_user_makes_the_same_layers,
        faults::a_base_that_is_not_what_it_says_is_refused,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
