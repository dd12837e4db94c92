import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from pier_site.accounts.models import ApiToken
from tests.support.factories import World, make_job, make_step, make_trajectory, make_trial, make_user, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def secret(world: World) -> str:
    return ApiToken.issue(world.viewer, "laptop")[1]


def ask(path: str, secret: str) -> Any:
    answer = Client().get(f"/api/{path}", headers={"Authorization": f"Bearer {secret}"})
    return answer.status_code, json.loads(answer.content)


def test_a_token_reads_jobs_trials_trajectories_and_steps(world: World, secret: str) -> None:
    status, jobs = ask("jobs", secret)
    assert (status, [job["name"] for job in jobs["items"]], jobs["next"]) == (200, ["smoke-of-november"], None)
    assert ask(f"jobs/{world.job.pk}", secret)[1]["id"] == world.job.pk
    trials = ask(f"jobs/{world.job.pk}/trials", secret)[1]
    assert trials["items"][0]["reward"] == 1.0
    assert trials["items"][0]["cause"] == "budget"
    trajectory = ask(f"trials/{world.trial.pk}/trajectories", secret)[1][0]
    steps = ask(f"trajectories/{trajectory['id']}/steps", secret)[1]
    assert [step["source"] for step in steps["items"]] == ["user", "agent", "agent"]
    assert steps["items"][1]["step"]["tool_calls"][0]["arguments"] == {"command": "cat calculator.py"}


def test_pages_of_steps_are_followed_by_their_cursor(world: World, secret: str) -> None:
    trajectory = make_trajectory(world.trial, [make_step(message=f"step {n}") for n in range(7)])
    seen: list[int] = []
    cursor: str | None = "-1"
    while cursor is not None:
        page = ask(f"trajectories/{trajectory.pk}/steps?limit=3&after={cursor}", secret)[1]
        seen += [step["index"] for step in page["items"]]
        cursor = page["next"]
    assert seen == list(range(7))


def test_pages_of_jobs_and_trials_are_followed_by_their_cursors(world: World, secret: str) -> None:
    for n in range(4):
        make_job(world.job.project)
        make_trial(world.job, attempt=n + 2, reward=n / 4)
    for path in ("jobs?limit=2", f"jobs/{world.job.pk}/trials?limit=2&sort=reward"):
        seen: list[int] = []
        after: str | None = ""
        while after is not None:
            page = ask(f"{path}&after={after}", secret)[1]
            seen += [row["id"] for row in page["items"]]
            after = page["next"]
        assert len(seen) == len(set(seen)) == 5


def test_wrong_and_expired_tokens_are_401(world: World, secret: str) -> None:
    assert ask("jobs", "pier_wrong")[0] == 401
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert ask("jobs", secret)[0] == 401


def test_a_token_of_a_deactivated_person_is_401(world: World, secret: str) -> None:
    type(world.viewer).objects.update(is_active=False)
    assert ask("jobs", secret)[0] == 401


def test_the_last_use_is_noted_once_a_minute(world: World, secret: str) -> None:
    ask("jobs", secret)
    first = ApiToken.objects.get().last_used_at
    ask("jobs", secret)
    assert first is not None
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    ask("jobs", secret)
    last = ApiToken.objects.get().last_used_at
    assert last is not None
    assert last > first


def test_a_strangers_token_finds_nothing(world: World) -> None:
    secret = ApiToken.issue(make_user(), "other")[1]
    assert ask(f"trials/{world.trial.pk}", secret)[0] == 404


@pytest.mark.parametrize("cursor", ["x", "W10", "!!", "WzFd", "bnVsbA", "\N{SNOWMAN}"])
def test_a_damaged_cursor_is_one_sentence(cursor: str, world: World, secret: str) -> None:
    status, body = ask(f"jobs?after={cursor}", secret)
    assert status == 400
    assert "damaged" in body["detail"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1000", "limit=x"])
def test_a_limit_outside_its_bounds_is_422(query: str, world: World, secret: str) -> None:
    assert ask(f"jobs?{query}", secret)[0] == 422


def test_every_route_declares_its_errors() -> None:
    schema = json.loads(Client().get("/api/openapi.json").content)
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert {"200", "400", "401", "404", "422"} <= set(operation["responses"]), path
