import contextlib

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import BadRequest
from hypothesis import given
from hypothesis import strategies as st

from runs.models import Trial
from runs.queries import (
    BY_TASK,
    TRIAL_SORTS,
    TrialFilter,
    jobs_page,
    keyset_page,
    neighbours,
    steps_after,
    tasks_page,
    trials_of_tasks,
    trials_page,
)
from tests.support.factories import START, make_job, make_member, make_project, make_step, make_trajectory, make_trial

pytestmark = pytest.mark.django_db


def test_nobody_sees_jobs_without_logging_in() -> None:
    make_job()
    assert list(jobs_page(AnonymousUser())) == []


def test_jobs_that_began_at_the_same_moment_are_each_seen_once() -> None:
    project = make_project()
    wanted = {make_job(project, sorted_at=START).pk for _ in range(7)}
    reader = make_member(project)
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = jobs_page(reader, cursor=cursor, limit=2)
        seen += [job.pk for job in page]
        cursor = page.next
    assert len(seen) == 7
    assert set(seen) == wanted


@pytest.mark.parametrize("sort", TRIAL_SORTS)
def test_every_order_of_trials_visits_each_once_with_those_that_have_nothing_last(sort: str) -> None:
    job = make_job()
    for n in range(11):
        make_trial(
            job,
            task_name=f"task-{n % 3}",
            attempt=n + 1,
            reward=None if n % 4 == 0 else n % 3 / 2,
            cost_usd=None if n % 5 == 0 else 0.1 * n,
            n_steps=n % 2,
        )
    seen: list[Trial] = []
    cursor: str | None = ""
    while cursor is not None:
        page = trials_page(job, cursor=cursor, limit=3, only=TrialFilter(sort=sort))
        seen += page
        cursor = page.next
    assert len({trial.pk for trial in seen}) == len(seen) == 11
    if sort == "reward":
        rewards = [trial.reward for trial in seen]
        assert rewards[-3:] == [None, None, None]
        assert rewards[:8] == sorted(rewards[:8], key=lambda reward: -(reward or 0))


def test_neighbours_walk_through_a_job_in_the_order_of_its_page() -> None:
    job = make_job()
    for n in range(5):
        make_trial(job, task_name=f"task-{n % 2}", attempt=n + 1)
    order = [trial.pk for trial in trials_page(job)]
    walked = [neighbours(job.trials.get(pk=pk)) for pk in order]
    assert walked == list(zip([None, *order[:-1]], [*order[1:], None], strict=True))


def test_tasks_come_in_windows_with_all_their_trials() -> None:
    job = make_job()
    for n in range(12):
        make_trial(job, task_name=f"task-{n % 4}", attempt=n + 1)
    first = tasks_page(job, limit=3)
    assert list(first) == ["task-0", "task-1", "task-2"]
    assert first.next == "task-2"
    assert [trial.task_name for trial in trials_of_tasks(job, first.items)] == sorted(list(first) * 3)
    assert list(tasks_page(job, cursor="task-2", limit=3)) == ["task-3"]
    assert trials_of_tasks(job, []) == []


def test_steps_come_after_their_cursor() -> None:
    trajectory = make_trajectory(steps=[make_step(message=str(n)) for n in range(5)])
    page = steps_after(trajectory, cursor=1, limit=2)
    assert [step.index for step in page] == [2, 3]
    assert page.next == "3"
    assert steps_after(trajectory, cursor=3, limit=2).next is None


@given(st.text())
def test_any_text_as_a_cursor_gives_a_window_or_a_bad_request(cursor: str) -> None:
    with contextlib.suppress(BadRequest):
        assert list(keyset_page(Trial.objects.none(), BY_TASK, cursor=cursor)) == []
