"""Where the jobs and trials of critics are seen, and where they are not."""

import socket
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from critique.models import Critique, CritiqueRun
from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from runs.indexing.command import index_directories
from runs.indexing.job import index_job
from runs.indexing.watch import Watcher
from runs.jobs.cancelling import cancel
from runs.jobs.listing import list_jobs
from runs.jobs.naming import find_job, find_job_or_trial
from runs.models import Job, Origin, Purpose, Status, Trial
from runs.owner import this_owner
from runs.queries import jobs_page, neighbours
from runs.scheduling.reap import abandoned_jobs, close_abandoned
from tests.critique.indexing.files import (
    SOURCE,
    make_critique,
    make_pier_critique,
    make_pier_run,
    make_run,
    make_source,
    result,
)
from tests.support.factories import make_member

DEAD = f"{socket.gethostname()}:{2**22 + 1}:1"


@pytest.fixture
def source(project: Project, tmp_path: Path) -> Job:
    """An indexed job with a critique run that is newer than it, and whose critic has its trial's name."""
    job = make_source(tmp_path)
    make_pier_critique(make_pier_run(job, "verdicts"))
    return index_job(project, job).job


@pytest.fixture
def pages(project: Project) -> Client:
    """What an owner sees."""
    client = Client()
    client.force_login(make_member(project))
    return client


def critics_job() -> Job:
    return Job.objects.get(purpose=Purpose.CRITIQUE)


def test_lists_of_jobs_leave_critics_out(source: Job, pages: Client, project: Project) -> None:
    assert [line.name for line in list_jobs(10)] == ["night"]
    assert list(jobs_page(make_member(project))) == [source]
    assert "verdicts" not in pages.get(reverse("jobs")).content.decode()
    assert [job["name"] for job in pages.get(reverse("api:list_jobs")).json()["items"]] == ["night"]


def test_the_newest_job_is_none_of_critics(source: Job) -> None:
    assert critics_job().sorted_at > source.sorted_at
    assert find_job(None, last=True) == source


def test_a_name_means_what_was_run_before_it_means_a_critic(source: Job, tmp_path: Path, project: Project) -> None:
    assert find_job("verdicts") == critics_job()
    assert find_job_or_trial(SOURCE) == Trial.objects.get(job=source)
    assert find_job_or_trial(f"{critics_job().directory}/{SOURCE}") == critics_job().trials.get()
    other = index_job(project, make_source(tmp_path / "verdicts")).job
    Job.objects.filter(pk=other.pk).update(name="verdicts")
    assert find_job("verdicts") == other


def test_space_is_counted_once(source: Job, pages: Client) -> None:
    answer = pages.get(reverse("space")).content.decode()
    assert "night" in answer
    assert "verdicts" not in answer


def test_a_critics_trial_has_a_page_that_leads_to_its_run(source: Job, pages: Client) -> None:
    trial = critics_job().trials.get()
    answer = pages.get(reverse("trial", args=[trial.pk]))
    run = CritiqueRun.objects.get()
    assert answer.status_code == 200
    assert f'href="{reverse("critique-run", args=[run.pk])}"' in answer.content.decode()
    assert critics_job().get_absolute_url() == run.get_absolute_url()
    assert source.get_absolute_url() == reverse("job", args=[source.pk])


def test_a_critics_job_without_its_run_has_a_page_of_its_own(source: Job) -> None:
    CritiqueRun.objects.all().delete()
    assert critics_job().get_absolute_url() == reverse("job", args=[critics_job().pk])


def test_neighbours_of_a_trial_are_those_of_its_job(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path, trials=2)
    run = make_run(job)
    for number in range(2):
        make_critique(run, f"fix-it__000000{number}", source_name=f"fix-it__000000{number}")
    source = index_job(project, job).job
    first, second = source.trials.order_by("name")
    assert neighbours(first) == (None, second.pk)
    critics = list(critics_job().trials.order_by("name"))
    assert neighbours(critics[0]) == (None, critics[1].pk)


def test_a_runners_critics_can_be_cancelled_by_the_name_of_the_run(source: Job) -> None:
    job = critics_job()
    Job.objects.filter(pk=job.pk).update(origin=Origin.PIER_SITE, status=Status.RUNNING)
    job.trials.update(status=Status.RUNNING, owner=this_owner())
    assert cancel("verdicts").n_running == 1
    assert job.trials.get().cancel_requested_at is not None


def test_critics_whose_runner_died_are_reaped(source: Job) -> None:
    job = critics_job()
    Job.objects.filter(pk=job.pk).update(origin=Origin.PIER_SITE, status=Status.RUNNING)
    job.trials.update(status=Status.RUNNING, owner=DEAD, file_stamps={})
    Critique.objects.update(outcome="pending")
    assert abandoned_jobs() == [job]
    close_abandoned(job)
    row = Critique.objects.select_related("trial__job").get()
    assert (row.trial.status, row.outcome, row.trial.job.purpose) == ("finished", "valid", Purpose.CRITIQUE)


def test_the_command_tells_of_the_critiques_problems(source: Job, project: Project, tmp_path: Path) -> None:
    folder = Path(critics_job().directory) / SOURCE
    (folder / "critique-metadata.json").write_text("{")
    said: list[str] = []
    complaints: list[str] = []
    assert index_directories([tmp_path], project, say=said.append, complain=complaints.append) == 0
    assert said[0] == "night: 1 trial, 0 read, 1 unchanged"
    assert [line.partition(": ")[0] for line in complaints] == [str(folder / "critique-metadata.json")]


def test_critiques_of_tasks_are_indexed_with_the_folder_that_they_lie_in(project: Project, tmp_path: Path) -> None:
    make_source(tmp_path)
    run = make_run(tmp_path, "quality", subject="task")
    make_critique(run, "fix-it", subject="task", source_name="fix-it", output=result())
    said: list[str] = []
    index_directories([tmp_path], project, say=said.append, complain=pytest.fail)
    assert [line.partition(":")[0] for line in said] == ["night", "quality", "2 jobs"]
    assert Critique.objects.get().source_trial is None
    assert [line.name for line in list_jobs(10)] == ["night"]


def test_critiques_of_tasks_are_watched(project: Project, tmp_path: Path) -> None:
    watcher = Watcher(project, tmp_path)
    run = make_run(tmp_path, "quality", subject="task")
    make_critique(run, "fix-it", subject="task", source_name="fix-it")
    assert watcher.look() == 1
    assert Critique.objects.get().outcome == "valid"


def test_what_is_no_critique_run_is_passed_over(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    (job / ".critiques").mkdir()
    (job / ".critiques" / "notes.txt").write_text("x")
    (job / ".critiques" / "empty").mkdir()
    (job / ".critiques" / "old").mkdir()
    (job / ".critiques" / "old" / "tb.lock").write_text("{}")
    assert index_job(project, job).problems == ()
    assert Job.objects.count() == 1
    with pytest.raises(InputInvalid):
        find_job("old")
