import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from critique.models import Claim, CritiqueRun
from critique.starting import log_of
from critique.views.runs import TIME_FOR_CHECKS
from runs.models import Job, Status, Trial
from tests.support.critiques import make_citation, make_claim, make_critique, make_rubric, make_run
from tests.support.factories import World, make_trial, make_world


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


@pytest.fixture
def run(world: World) -> CritiqueRun:
    """Two trials, one that passed and one that failed, looked at by two critics; one of whom failed once."""
    run = make_run(world.job, rubric=make_rubric(), summary="All *in all*.")
    codex = {"agent_name": "codex", "model_name": "gpt-5", "cost_usd": 0.5}
    failed = make_trial(world.job, task_name="hard-task", reward=0.0)
    sound = make_critique(world.trial, run=run, tags=["PASS_LEGITIMATE"])
    claim = make_claim(sound, severity="critical", check_outcome="confirmed")
    make_citation(claim)
    make_citation(claim, quote="invented", is_verified=False)
    make_critique(failed, run=run, rating="bad", tags=["FAIL_AGENT_FAULT"], is_stale=True, stale_reasons=["moved"])
    make_critique(world.trial, run=run, rating="bad", critic=codex, tags=["PASS_CHEATED"])
    make_critique(
        failed, run=run, rating="", outcome="failed", critic=codex | {"cost_usd": None}, failure="AgentTimeoutError"
    )
    return run


def text_of(pages: Client, address: str) -> str:
    answer = pages.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def rows_in(page: str) -> int:
    return page.count('<tr id="critique-')


def test_a_run_is_shown_in_numbers(pages: Client, run: CritiqueRun) -> None:
    page = text_of(pages, run.get_absolute_url())
    assert "All <em>in all</em>." in page
    assert "$0.74" in page, "two at 0.12 and one at 0.50"
    assert "known of 3" in page
    assert "50.0 %" in page, "one of two citations was not found"
    assert "Good with reward 1 or bad with less: 2 of 3" in page
    assert "codex · gpt-5" in page
    assert "confirmed" in page
    assert rows_in(page) == 4


@pytest.mark.parametrize(
    ("query", "n_rows"),
    [
        ("?rating=good", 1),
        ("?rating=bad", 2),
        ("?rating=none", 1),
        ("?rating=odd", 4),
        ("?tag=PASS_CHEATED", 1),
        ("?outcome=failed", 1),
        ("?outcome=nonsense", 4),
        ("?stale=1", 1),
        ("?unverified=1", 1),
        ("?critic=codex+%C2%B7+gpt-5", 2),
        ("?critic=codex+%C2%B7+gpt-5&rating=bad", 1),
        ("?tag=%00", 0),
        ("?critic=%00", 0),
    ],
)
def test_its_critiques_are_narrowed_by_the_address(query: str, n_rows: int, pages: Client, run: CritiqueRun) -> None:
    assert rows_in(text_of(pages, f"{run.get_absolute_url()}{query}")) == n_rows


def test_many_critiques_come_in_pages(pages: Client, world: World, run: CritiqueRun) -> None:
    for _ in range(60):
        make_critique(world.trial, run=run)
    seen, address = 0, run.get_absolute_url()
    for _ in range(3):
        page = text_of(pages, address)
        seen += rows_in(page)
        if 'rel="next"' not in page:
            break
        query = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
        address = f"{run.get_absolute_url()}{query}"
    assert seen == 64
    for values in (["a\0b", 1], ["\ud800", 1], [1, 1], ["a", "b"], ["a"]):
        cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
        assert pages.get(f"{run.get_absolute_url()}?after={cursor}").status_code == 400, values
    assert pages.get(f"{run.get_absolute_url()}?after=damaged").status_code == 400


def test_the_number_of_queries_does_not_grow_with_the_run(
    pages: Client, world: World, run: CritiqueRun, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    addresses = (
        run.get_absolute_url(),
        reverse("critique-runs"),
        f"{reverse('critique-compare')}?job={world.job.pk}",
        f"/api/critique-runs/{run.pk}/critiques",
        "/api/critique-runs",
    )
    counts = {}
    for address in addresses:
        with CaptureQueriesContext(connection) as few:
            text_of(pages, address)
        counts[address] = len(few)
    assert counts[run.get_absolute_url()] <= 20
    for number in range(8):
        trial = make_trial(world.job, task_name=f"task-{number}")
        make_citation(make_claim(make_critique(trial, run=run, tags=["X", "Y"])), quote="nowhere", is_verified=False)
    for address in addresses:
        with django_assert_num_queries(counts[address]):
            text_of(pages, address)


def test_a_running_run_draws_itself_again_until_it_has_ended(pages: Client, run: CritiqueRun) -> None:
    Job.objects.filter(critique_run=run).update(status=Status.RUNNING, finished_at=None, n_trials=4, n_finished=2)
    page = text_of(pages, run.get_absolute_url())
    assert 'hx-trigger="every 2s"' in page
    assert "<b>2</b> of 4 done" in page
    board = pages.get(run.get_absolute_url(), headers={"HX-Request": "true"}).content.decode()
    assert board.strip().startswith("<div")
    assert "<html" not in board
    assert "hx-trigger" not in text_of(pages, f"{run.get_absolute_url()}?after=WyJ6IiwgMV0"), "a later page stays"
    Job.objects.filter(critique_run=run).update(status=Status.FINISHED)
    assert "hx-trigger" not in text_of(pages, run.get_absolute_url())


def test_a_run_that_has_not_begun_tells_owners_why(
    pages: Client, client: Client, world: World, settings: LazySettings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    run = make_run(world.job, is_plan=True, approved_at=timezone.now(), approved_by=world.owner)
    assert "Go on" not in text_of(pages, run.get_absolute_url()), "it has hardly had the time"
    log_of(run).parent.mkdir()
    log_of(run).write_text("\x1b[31mno engine answers\x1b[0m <b>\n")
    page = text_of(pages, run.get_absolute_url())
    for said in ("has not begun yet", "no engine answers", "&lt;b&gt;", "Go on"):
        assert said in page
    client.force_login(world.viewer)
    assert "no engine answers" not in text_of(client, run.get_absolute_url())


def test_a_run_whose_checks_are_under_way_goes_on_drawing_itself(pages: Client, world: World) -> None:
    run = make_run(world.job, config={"checks": {"enabled": True}})
    check = {"command": "true", "expect": {"exit_code": 0}}
    claim = make_claim(make_critique(world.trial, run=run), suggested_check=check)
    make_claim(claim.critique, "It suggests none.")
    Job.objects.filter(critique_run=run).update(finished_at=timezone.now())
    page = text_of(pages, run.get_absolute_url())
    assert "1 suggested check not run yet" in page
    assert 'hx-trigger="every 2s"' in page
    Job.objects.filter(critique_run=run).update(finished_at=timezone.now() - TIME_FOR_CHECKS)
    assert 'hx-trigger="every 2s"' not in text_of(pages, run.get_absolute_url())
    Claim.objects.filter(pk=claim.pk).update(check_outcome="confirmed")
    assert "not run yet" not in text_of(pages, run.get_absolute_url())


def test_what_stayed_invalid_rates_nothing(pages: Client, world: World) -> None:
    run = make_run(world.job)
    broken: dict[str, Any] = {
        "rating": "good",
        "tags": ["MADE_UP"],
        "outcome": "invalid",
        "failure": "It broke the contract.",
    }
    make_citation(make_claim(make_critique(world.trial, run=run, **broken)), is_verified=False)
    page = text_of(pages, run.get_absolute_url())
    assert "?tag=MADE_UP" not in page
    assert "Claims by severity" not in page
    assert "invalid output</span>" in page
    assert 'data-tone="good">good' not in page
    assert "Rating and reward" not in page
    assert rows_in(text_of(pages, f"{run.get_absolute_url()}?rating=good")) == 0
    assert rows_in(text_of(pages, f"{run.get_absolute_url()}?rating=none")) == 1
    assert "1 failed" in text_of(pages, reverse("critique-runs"))
    compared = text_of(pages, f"{reverse('critique-compare')}?job={world.job.pk}")
    assert "invalid output</a>" in compared


def test_what_is_said_of_the_whole_run_is_counted_with_no_trial(pages: Client, world: World) -> None:
    run = make_run(world.job)
    make_critique(world.trial, run=run, tags=["SOLVED"])
    whole: dict[str, Any] = {"source_trial": None, "source_name": run.name, "critic": {"name": "run-summary"}}
    make_critique(world.trial, run=run, rating="bad", tags=["NOT_TRUSTWORTHY"], **whole)
    page = text_of(pages, run.get_absolute_url())
    assert rows_in(page) == 2
    assert "?tag=SOLVED" in page
    assert "?tag=NOT_TRUSTWORTHY" not in page
    assert "1 bad" not in text_of(pages, reverse("critique-runs"))
    assert rows_in(text_of(pages, f"{run.get_absolute_url()}?rating=bad")) == 0


def test_runs_and_plans_are_listed_newest_first(pages: Client, world: World, run: CritiqueRun) -> None:
    plan = make_run(world.job, is_plan=True, plan={"n_critiques": 3, "cost_usd": 1.5})
    page = text_of(pages, reverse("critique-runs"))
    assert page.index(plan.name) < page.index(run.name)
    for said in ("1 good", "2 bad", "1 failed", "about $1.50", ">plan<"):
        assert said in page, said
    other = make_run()
    assert other.name not in text_of(pages, reverse("critique-runs"))
    assert run.name in text_of(pages, f"{reverse('critique-runs')}?job={world.job.pk}")


def test_critics_are_compared_with_what_they_dispute_first(pages: Client, world: World, run: CritiqueRun) -> None:
    address = f"{reverse('critique-compare')}?job={world.job.pk}"
    page = text_of(pages, address)
    assert "1 trial disputed" in page
    rows = page.split("<tr")
    assert rows[-2].lstrip().startswith("data-disputed")
    assert world.trial.task_name in rows[-2]
    assert "the same on 0 of 1 (0 %, not corrected for chance)" in page
    other = make_run(world.job, name="second-run")
    make_critique(Trial.objects.get(task_name="hard-task", job=world.job), run=other, rating="bad")
    page = text_of(pages, f"{address}&runs={run.pk},{other.pk}")
    assert "second-run" in page
    assert "the same on 1 of 1 (100 %" in page
    assert pages.get(f"{address}&runs=x").status_code == 400
    assert pages.get(reverse("critique-compare")).status_code == 400


def test_critiques_are_read_over_the_api(pages: Client, world: World, run: CritiqueRun) -> None:
    listed = pages.get(f"/api/trials/{world.trial.pk}/critiques").json()["items"]
    assert [row["rating"] for row in listed] == ["bad", "good"]
    sound = listed[1]
    assert (sound["critic"], sound["tags"], sound["n_unverified"]) == ("claude-code · sonnet", ["PASS_LEGITIMATE"], 1)
    whole = pages.get(f"/api/critiques/{sound['id']}").json()
    assert whole["feedback"] == "It **works**."
    [claim] = pages.get(f"/api/critiques/{sound['id']}/claims").json()["items"]
    assert [(cited["quote"], cited["is_verified"]) for cited in claim["citations"]] == [
        ("cat calculator.py", True),
        ("invented", False),
    ]
    assert pages.get(f"/api/critique-runs/{run.pk}").json()["summary"] == "All *in all*."
    assert len(pages.get(f"/api/critique-runs/{run.pk}/critiques?rating=bad").json()["items"]) == 2
    assert pages.get(f"/api/critiques/{sound['id']}/claims?after=1").json()["items"] == []
    assert pages.get(f"/api/critique-runs?job={world.job.pk}").json()["items"][0]["name"] == run.name
