import json
from pathlib import Path

import pytest

from runs.indexing.job import refresh_counters
from runs.models import Status
from tests.runs.jobs.commands import pierjob
from tests.support.factories import make_job, make_trial

pytestmark = pytest.mark.django_db


def test_jobs_are_listed_newest_first_with_their_exceptions_by_cause() -> None:
    old, new = make_job(name="old"), make_job(name="new")
    for reward, cause in ((1.0, ""), (0.0, "budget"), (None, "provider"), (None, "provider")):
        make_trial(new, reward=reward, cause=cause, exception_type="SomeError" if cause else "", cost_usd=0.25)
    refresh_counters(new)
    code, out, _ = pierjob("list")
    assert code == 0
    lines = [line.split() for line in out.splitlines() if line.strip().startswith(("old", "new"))]
    assert lines == [
        ["new", "finished", "4/4", "0.500", "2", "provider,", "1", "budget", "$1.00", new.directory],
        ["old", "finished", "0/0", "–", "–", "–", old.directory],
    ]


def test_the_json_list_has_the_figures_and_keeps_to_the_limit() -> None:
    make_job(name="old")
    make_job(name="new", status=Status.RUNNING, n_trials=3, cost_usd=1.5)
    code, out, _ = pierjob("list", "--json", "--limit", 1)
    assert code == 0
    [line] = json.loads(out)
    assert (line["name"], line["status"], line["n_trials"], line["cost_usd"]) == ("new", "running", 3, 1.5)
    assert line["mean_reward"] is None


def test_a_limit_below_one_is_one_sentence() -> None:
    code, _, err = pierjob("list", "--limit", 0)
    assert (code, err) == (2, "--limit 0: at least 1\n")


def test_without_jobs_the_list_says_so() -> None:
    assert pierjob("list") == (0, "there is no job yet\n", "")


def test_a_name_steers_no_terminal() -> None:
    make_job(name="\x1b[31mred\x07")
    _, out, _ = pierjob("list")
    assert "\x1b[31m" not in out
    assert "red" in out


def test_listing_costs_two_queries(django_assert_num_queries: object, tmp_path: Path) -> None:
    from runs.jobs.listing import list_jobs

    for _ in range(5):
        make_trial(make_job(), exception_type="A", cause="agent")
    with django_assert_num_queries(2):  # type: ignore[operator]
        assert len(list_jobs(10)) == 5
