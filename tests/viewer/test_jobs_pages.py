import re
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from pier_site.accounts import visibility
from pier_site.accounts.models import Project, Role, User
from pier_site.accounts.visibility import Hideable
from runs.models import Cause, Job, Marker, Phase, Status
from runs.owner import this_owner
from tests.support.factories import make_job, make_member, make_project, make_step, make_trajectory, make_trial

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make_project()


@pytest.fixture
def reader(project: Project) -> User:
    return make_member(project)


@pytest.fixture
def pages(client: Client, reader: User) -> Client:
    client.force_login(reader)
    return client


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_a_site_without_jobs_says_how_to_get_one(pages: Client) -> None:
    text = text_of(pages.get("/"))
    assert "No jobs yet" in text
    assert "manage.py pierrun" in text
    assert "manage.py pierjob index" in text


def test_the_list_shows_what_lists_are_read_for(pages: Client, project: Project) -> None:
    make_job(
        project, name="nightly", status=Status.RUNNING, n_trials=8, n_finished=6, n_exceptions=1, n_rewarded=5,
        reward_sum=2.5, cost_usd=41.2, agents=["codex · gpt-5"],
    )  # fmt: skip
    text = text_of(pages.get("/"))
    for part in ("nightly", "codex · gpt-5", "running", "6 /8", "0.5", "of 5", "$41.20"):
        assert part in text


def test_jobs_come_newest_first_in_windows(pages: Client, project: Project) -> None:
    for n in range(60):
        make_job(project, name=f"job number {n}.")
    first = pages.get("/").content.decode()
    assert first.index("job number 59.") < first.index("job number 30.")
    older = re.search(r'href="\?([^"]+)" rel="next"', first)
    assert older
    second = pages.get("/?" + older[1].replace("&amp;", "&")).content.decode()
    assert re.findall(r"job number (\d+)\.", second) == [str(n) for n in range(9, -1, -1)]
    assert 'rel="next"' not in second


def test_search_and_status_narrow_the_list(pages: Client, project: Project) -> None:
    make_job(project, name="alpha", agents=["codex · gpt-5"])
    make_job(project, name="beta", status=Status.RUNNING)
    assert "beta" not in text_of(pages.get("/?q=ALPHA"))
    assert "beta" not in text_of(pages.get("/?q=gpt-5"))
    assert "alpha" not in text_of(pages.get("/?status=running"))
    assert "No job matches" in text_of(pages.get("/?q=nothing%00such"))


def test_lists_cost_the_same_number_of_queries_whatever_their_length(
    pages: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make_job(project)
    with django_assert_num_queries(4):  # session, user, jobs, whether an owner
        pages.get("/")
    for _ in range(30):
        make_job(project)
    with django_assert_num_queries(4):
        pages.get("/")


def test_a_job_page_costs_the_same_number_of_queries_whatever_its_size(
    pages: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = make_job(project)
    for n in range(40):
        make_trial(job, task_name=f"task-{n % 8}", attempt=n // 8 + 1, agent_name=f"agent-{n % 3}")
    flag_some(job)
    for query in ("", "?flag=history"):
        with django_assert_num_queries(8):  # session, user, job, role, tasks, trials, flags, cells
            pages.get(f"{job.get_absolute_url()}{query}")


def flag_some(job: Job) -> list[int]:
    """Two flags of history on one trial, one on another, and an edit, which is no flag, on a third."""
    trials = list(job.trials.order_by("pk")[:3])
    kinds = (Marker.Kind.HISTORY, Marker.Kind.HISTORY), (Marker.Kind.HISTORY,), (Marker.Kind.EDIT,)
    for trial, those in zip(trials, kinds, strict=True):
        trajectory = make_trajectory(trial)
        for kind in those:
            Marker.objects.create(trial=trial, trajectory=trajectory, index=0, kind=kind)
    return [trial.pk for trial in trials[:2]]


def test_trials_are_narrowed_to_those_with_a_flag_and_counted(pages: Client, project: Project) -> None:
    job = make_job(project)
    for n in range(4):
        make_trial(job, task_name=f"task-{n}")
    wanted = flag_some(job)
    page = pages.get(job.get_absolute_url()).content.decode()
    assert re.findall(r'href="\?([^"]*)" >([^<]+) <b>(\d+)</b>', page) == [
        ("show=all&amp;sort=task&amp;q=&amp;flag=history", "git history", "2")
    ]
    narrowed = pages.get(f"{job.get_absolute_url()}?flag=history").content.decode()
    assert [int(pk) for pk in re.findall(r'id="trial-(\d+)"', narrowed)] == wanted
    assert "task-0" in narrowed
    assert "task-2" not in narrowed  # the grid is narrowed, too
    assert "flag=history" in str(re.findall(r'href="\?([^"]*)"[^>]*>newest<', narrowed))
    assert 'id="trial-' in pages.get(f"{job.get_absolute_url()}?flag=edit").content.decode()  # no flag: all trials


def test_a_hidden_marker_flags_no_trial(
    pages: Client, project: Project, reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "_rules", {})
    visibility.hide(Hideable.MARKER, lambda user: Q(label="secret") if user == reader else Q(pk__in=[]))
    job = make_job(project)
    for n in range(3):
        make_trial(job, task_name=f"task-{n}")
    first, _ = flag_some(job)
    Marker.objects.filter(trial=first).update(label="secret")
    page = pages.get(job.get_absolute_url()).content.decode()
    assert "git history <b>1</b>" in page
    assert f"trial-{first}" not in pages.get(f"{job.get_absolute_url()}?flag=history").content.decode()


def test_the_api_narrows_to_a_flag_too(pages: Client, project: Project) -> None:
    job = make_job(project)
    for n in range(3):
        make_trial(job, task_name=f"task-{n}")
    wanted = flag_some(job)
    answer = pages.get(f"/api/jobs/{job.pk}/trials?flag=history").json()
    assert [trial["id"] for trial in answer["items"]] == wanted


def test_the_grid_has_a_cell_an_attempt_and_says_whose_failure_it_was(pages: Client, project: Project) -> None:
    job = make_job(project)
    make_trial(job, attempt=1, reward=1.0)
    make_trial(job, attempt=2, reward=None, exception_type="SandboxFailed", cause=Cause.INFRASTRUCTURE)
    make_trial(job, attempt=3, reward=None, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, finished_at=None)
    html = pages.get(job.get_absolute_url()).content.decode()
    assert html.count('class="cell"') == 3 + 6  # the legend has six
    assert "attempt 2: no reward: SandboxFailed (infrastructure)" in html
    assert "attempt 3: running: agent" in html


def test_filters_and_orders_of_trials(pages: Client, project: Project) -> None:
    job = make_job(project)
    solved = make_trial(job, attempt=1, reward=1.0)
    failed = make_trial(job, attempt=2, reward=0.0, cost_usd=3.0)
    broken = make_trial(job, attempt=3, reward=0.0, exception_type="SandboxFailed", cause=Cause.INFRASTRUCTURE)

    def rows(query: str) -> list[int]:
        html = pages.get(f"{job.get_absolute_url()}?{query}").content.decode()
        return [int(pk) for pk in re.findall(r'id="trial-(\d+)"', html)]

    assert rows("") == [solved.pk, failed.pk, broken.pk]
    assert rows("show=failed") == [failed.pk]
    assert rows("show=exceptions") == [broken.pk]
    assert rows("show=running") == []
    assert rows("sort=cost")[0] == failed.pk
    assert rows("sort=newest") == [broken.pk, failed.pk, solved.pk]
    assert rows("show=nonsense&sort=nonsense") == [solved.pk, failed.pk, broken.pk]


def test_a_running_job_asks_again_and_a_finished_one_stops(pages: Client, project: Project) -> None:
    job = make_job(project, status=Status.RUNNING)
    url = job.get_absolute_url()
    assert 'hx-trigger="every 2s"' in pages.get(url).content.decode()
    Job.objects.update(status=Status.FINISHED)
    fragment = pages.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in fragment
    assert "<html" not in fragment
    assert 'id="board"' in fragment


def test_what_could_not_be_read_is_shown(pages: Client, project: Project) -> None:
    job = make_job(project, problems=[{"path": "a/result.json", "reason": "torn"}])
    text = text_of(pages.get(job.get_absolute_url()))
    assert "1 file could not be read" in text
    assert "a/result.json" in text
    assert "torn" in text


@pytest.mark.parametrize("query", ["after=x", "after=%00", "after=W251bGxd"])
def test_a_damaged_cursor_is_a_bad_request(query: str, pages: Client, project: Project) -> None:
    job = make_job(project)
    assert pages.get(f"/?{query}").status_code == 400
    assert pages.get(f"{job.get_absolute_url()}?{query}").status_code == 400


def test_hostile_names_stay_text(pages: Client, project: Project) -> None:
    name = '<img src=x onerror=alert(1)>\u202e"'
    job = make_job(project, name=name, agents=[name], directory=f"/x/{name}")
    make_trial(job, name=name, task_name=name, agent_name=name, model_name=name, exception_type=name)
    for url in ("/", job.get_absolute_url()):
        html = pages.get(url).content.decode()
        assert "<img src=x" not in html
        assert "\u202e" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;«U+202E»" in html


def test_ids_larger_than_a_database_takes_are_not_found(pages: Client) -> None:
    assert pages.get(f"/jobs/{10**30}/").status_code == 404
    assert pages.get(f"/trials/{10**30}/").status_code == 404


def test_an_invalid_task_is_listed_with_its_reason(pages: Client, project: Project) -> None:
    job = make_job(project)
    reason = "/tasks/odd/task.toml: not TOML at line 2, column 7: <b>expected</b> a key"
    make_trial(job, exception_type="TaskInvalid", exception_message=reason, cause=Cause.TASK, reward=None, rewards=None)
    response = pages.get(job.get_absolute_url())
    assert "not TOML at line 2, column 7" in text_of(response)
    assert "<b>expected</b>" not in response.content.decode()


def running_job(project: Project) -> Job:
    job = make_job(project, status=Status.RUNNING, finished_at=None, n_trials=4, n_finished=1, n_running=1)
    make_trial(job, cost_usd=0.5, exception_type="AgentTimeoutError", cause=Cause.BUDGET, reward=0.0)
    trial = make_trial(
        job, status=Status.RUNNING, phase=Phase.AGENT_EXECUTION, finished_at=None, reward=None, owner=this_owner()
    )
    make_trajectory(trial, steps=[make_step(message="Reading the tests <now>")])
    return job


def test_a_running_jobs_page_says_what_is_in_flight_and_where_it_is_heading(pages: Client, project: Project) -> None:
    text = text_of(pages.get(running_job(project).get_absolute_url()))
    for part in ("In flight", "Reading the tests", "about $2.00 in the end", "done at about", "Exceptions by cause"):
        assert part in text, part
    assert "budget AgentTimeoutError 1 1" in text


def test_trials_in_flight_cost_no_query_each(
    pages: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = running_job(project)
    with CaptureQueriesContext(connection) as few:
        pages.get(job.get_absolute_url())
    for _ in range(20):
        trial = make_trial(job, status=Status.RUNNING, finished_at=None, reward=None)
        make_trajectory(trial)
    with django_assert_num_queries(len(few)):
        pages.get(job.get_absolute_url())


def test_an_owner_cancels_a_job_and_is_told_what_became_of_it(pages: Client, project: Project) -> None:
    job = running_job(project)
    answer = pages.post(reverse("job-cancel", args=[job.pk]), follow=True)
    assert "1 running asked to stop, 0 queued cancelled." in text_of(answer)
    trial = job.trials.get(status=Status.RUNNING)
    assert trial.cancel_requested_at
    assert "being cancelled" in text_of(pages.get(trial.get_absolute_url()))


def test_what_has_ended_cannot_be_cancelled_and_says_so(pages: Client, project: Project) -> None:
    trial = make_trial(make_job(project))
    answer = pages.post(reverse("trial-cancel", args=[trial.pk]), follow=True)
    assert "nothing of it is queued or running" in text_of(answer)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_only_owners_cancel(client: Client, project: Project, role: Role) -> None:
    job = running_job(project)
    client.force_login(make_member(project, role))
    assert "Cancel the job" not in text_of(client.get(job.get_absolute_url()))
    assert client.post(reverse("job-cancel", args=[job.pk])).status_code == 403
    assert not job.trials.exclude(cancel_requested_at=None).exists()
