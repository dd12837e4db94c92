"""Who follows up on what is indexed is told of it, and of nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pier_site.accounts.models import Project
from runs.indexing import following_up
from runs.indexing.following_up import Write, follow, when_indexed, when_steps_replaced
from runs.indexing.job import index_job
from runs.indexing.problems import Problem
from runs.models import Job, Purpose, Status, Trial
from runs.scheduling.rows import end_job
from tests.runs.indexing.files import make_job, step, trajectory, trial_result, write

NAME = "fix-it__0000000"


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those follow that the test names."""
    monkeypatch.setattr(following_up, "_indexed", [])
    monkeypatch.setattr(following_up, "_steps_replaced", [])
    monkeypatch.setattr(following_up, "_followers", {})


class NoteFollower:
    """Makes the trial's agent version from a file `note.txt`."""

    def files(self, directory: Path) -> Iterator[str]:
        yield "note.txt"

    def read(self, job: Job, directory: Path, problems: list[Problem]) -> Write:
        path = directory / "note.txt"
        note = path.read_text() if path.exists() else ""
        if not note:
            problems.append(Problem(path, "says nothing"))

        def write_note(trial: Trial) -> None:
            Trial.objects.filter(pk=trial.pk).update(agent_version=note)

        return write_note


def test_an_indexed_job_is_told_and_problems_are_added(project: Project, tmp_path: Path) -> None:
    told: list[Job] = []

    def callback(job: Job) -> list[Problem]:
        told.append(job)
        return [Problem(tmp_path / "x", "is broken")]

    when_indexed(callback)
    report = index_job(project, make_job(tmp_path))
    assert told == [report.job]
    assert [str(problem) for problem in report.problems] == [f"{tmp_path / 'x'}: is broken"]
    end_job(report.job, Status.FINISHED)
    assert told == [report.job] * 2


def test_steps_that_were_replaced_are_told_with_their_trial(project: Project, tmp_path: Path) -> None:
    told: list[str] = []
    when_steps_replaced(lambda trial: told.append(f"{trial.name} {trial.n_steps}"))
    job = make_job(tmp_path)
    index_job(project, job)
    write(job / NAME / "result.json", trial_result(cost_usd=1))
    index_job(project, job)
    assert told == []
    write(job / NAME / "agent/trajectory.json", trajectory(step(1), step(2), step(3)))
    index_job(project, job)
    assert told == [f"{NAME} 3"]


def test_a_follower_reads_when_its_files_or_the_trials_change(project: Project, tmp_path: Path) -> None:
    follow(Purpose.RUN, NoteFollower())
    job = make_job(tmp_path)
    [problem] = index_job(project, job).problems
    assert (problem.path, Trial.objects.get().problems) == (
        job / NAME / "note.txt",
        [{"path": "note.txt", "reason": "says nothing"}],
    )
    write(job / NAME / "note.txt", "first")
    assert (index_job(project, job).n_read, Trial.objects.get().agent_version) == (1, "first")
    Trial.objects.update(agent_version="kept")
    assert (index_job(project, job).n_read, Trial.objects.get().agent_version) == (0, "kept")
    write(job / NAME / "note.txt", "second one")
    steps = list(Trial.objects.get().steps.values_list("pk", flat=True))
    assert (index_job(project, job).n_read, Trial.objects.get().agent_version) == (1, "second one")
    assert list(Trial.objects.get().steps.values_list("pk", flat=True)) == steps


def test_what_a_follower_writes_is_undone_with_the_trial(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(NoteFollower):
        def read(self, job: Job, directory: Path, problems: list[Problem]) -> Write:
            def fail(trial: Trial) -> None:
                raise RuntimeError("no")

            return fail

    follow(Purpose.RUN, Failing())
    job = make_job(tmp_path)
    with pytest.raises(RuntimeError):
        index_job(project, job)
    assert Trial.objects.count() == 0
