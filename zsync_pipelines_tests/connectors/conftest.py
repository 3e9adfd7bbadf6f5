"""One stage per case; and which suites CI runs on which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zsync_pipelines_tests.connectors.case import ConnectorCase
from zsync_pipelines_tests.connectors.cases import CASES
from zsync_pipelines_tests.connectors.stage import Stage, stage_of

THROUGHOUT = {"acme"}
"""Cases that CI puts through every suite whole. On the others it leaves out what shows the framework more than the
connector; `make soak` runs it all."""
LONG = {
    "test_two_weeks", "test_kill_after_a_batch_was_sent", "test_a_run_without_changes_writes_nothing",
    "test_who_left_and_comes_back_is_added_again", "test_two_members_with_one_identity_are_one_at_the_vendor",
    "test_identifiers_that_are_written_otherwise_are_the_same", "test_a_plan_sends_nothing",
    "test_somebody_without_identifiers_is_invalid_and_the_others_go_on", "test_a_missing_permission_stops_the_run",
    "test_faults_of_questions_end_the_run_or_are_survived_and_harm_nobody",
    "test_a_base_url_may_have_a_path_and_end_in_a_slash", "test_text_of_every_kind_arrives_as_it_is",
    "test_batches_stay_within_the_vendors_limits", "test_a_list_that_is_not_there_is_named_and_nothing_is_made",
    "test_check_says_what_to_fix", "test_secrets_and_members_are_in_no_log",
    "test_a_rejection_never_holds_a_members_values",
    "test_a_removal_of_somebody_who_is_gone_is_done",
}  # fmt: skip
REPEATED = {"500", "503", "html", "drop before", "additive", "subtractive"}
"""Parameters of tests that run with others as well."""


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def stage(request, tmp_path) -> Iterator[Stage]:
    with stage_of(request.param, tmp_path) as found:
        yield found


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents or not hasattr(item, "callspec"):
            continue
        case = item.callspec.params.get("stage")
        if isinstance(case, ConnectorCase) and case.id not in THROUGHOUT:
            others = {str(value) for name, value in item.callspec.params.items() if name != "stage"}
            if item.originalname in LONG or others & REPEATED:
                item.add_marker(pytest.mark.soak)
