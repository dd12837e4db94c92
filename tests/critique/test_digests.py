"""What a critique was made of, and what makes it stale."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from critique.digests import Digests, MadeBy, digests_of, moved, refresh_staleness
from critique.models import Critique, CritiqueRun, Rubric
from pier_site.accounts.local import default_project
from runs.formats.task_directory import load_task
from runs.models import Job, Purpose, Trial
from tests.support.tasks import make_task

pytestmark = pytest.mark.django_db

CRITIC = MadeBy(
    rubric="trial-validity@1",
    rubric_digest="sha256:1",
    image="sha256:critics",
    model="gpt-5",
    agent="codex 1.2",
    prompt="Look at it.",
    seed=7,
)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job's directory with a finished trial."""
    trial = tmp_path / "job" / "trial-1"
    (trial / "agent").mkdir(parents=True)
    (trial / "agent" / "trajectory.json").write_text('{"steps": []}')
    (trial / "agent" / "trajectory.helper.json").write_text('{"steps": [1]}')
    (trial / "result.json").write_text(json.dumps({"image": {"id": "sha256:first"}}))
    (trial / "workspace.tar.zst").write_bytes(b"packed")
    (trial / "changes.patch").write_text("+1\n")
    return trial.parent


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path)


def make_rubric(version: int, name: str = "trial-validity") -> Rubric:
    return Rubric.objects.create(
        name=name, version=version, title="Validity", text="Look.", output_schema={}, digest=f"sha256:{version}"
    )


def make_critiques(job: Path, digests: Digests, n: int = 1) -> list[Critique]:
    """Critiques of the trial, made by the first version of a rubric."""
    project, now = default_project(), datetime.now(UTC)
    rubric = Rubric.objects.filter(name="trial-validity", version=1).first() or make_rubric(1)
    directory = str(job / ".critiques" / "run")
    row = Job.objects.create(
        project=project, directory=directory, name="run", purpose=Purpose.CRITIQUE, sorted_at=now
    )  # fmt: skip
    run = CritiqueRun.objects.create(project=project, job=row, name="run", directory=directory, rubric=rubric)
    return [
        Critique.objects.create(
            run=run,
            trial=Trial.objects.create(job=row, name=f"trial-1__c1-s{sample}", task_name="t"),
            source_name="trial-1",
            sample=sample,
            digests=digests.model_dump(mode="json"),
        )
        for sample in range(1, n + 1)
    ]


def make_critique(job: Path, task: Path) -> Critique:
    return make_critiques(job, digests_of(task=task, trial=job / "trial-1", made_by=CRITIC))[0]


def test_everything_that_a_critique_was_made_of_is_recorded(job: Path, task: Path) -> None:
    digests = digests_of(task=task, trial=job / "trial-1", made_by=CRITIC)
    assert digests.task == load_task(task).checksum()
    assert (digests.task_path, digests.trial_image) == (str(task), "sha256:first")
    assert (digests.rubric, digests.rubric_digest, digests.image) == ("trial-validity@1", "sha256:1", "sha256:critics")
    assert (digests.model, digests.agent, digests.seed) == ("gpt-5", "codex 1.2", 7)
    of_files = (digests.task, digests.trajectory, digests.result, digests.workspace, digests.prompt)
    assert all(one.startswith("sha256:") and len(one) == 71 for one in of_files)
    assert len(set(of_files)) == 5
    assert "Look at it" not in digests.model_dump_json()


def test_where_there_is_nothing_the_digest_is_empty(tmp_path: Path) -> None:
    for digests in (
        digests_of(task=None, trial=None, made_by=MadeBy()),
        digests_of(task=tmp_path / "no", trial=tmp_path / "nor", made_by=MadeBy()),
    ):
        assert {digests.task, digests.trajectory, digests.result, digests.workspace, digests.prompt} == {""}


def test_nothing_has_moved_where_nothing_was_touched(job: Path, task: Path) -> None:
    assert moved(make_critique(job, task)) == []


def change_task(job: Path, task: Path) -> None:
    (task / "instruction.md").write_text("Write something else.")


def change_trajectory(job: Path, task: Path) -> None:
    (job / "trial-1" / "agent" / "trajectory.json").write_text('{"steps": [2]}')


def change_subagents_trajectory(job: Path, task: Path) -> None:
    (job / "trial-1" / "agent" / "trajectory.helper.json").write_text('{"steps": [2]}')


def remove_trajectory(job: Path, task: Path) -> None:
    (job / "trial-1" / "agent" / "trajectory.json").unlink()


def run_again(job: Path, task: Path) -> None:
    (job / "trial-1" / "result.json").write_text(json.dumps({"image": {"id": "sha256:second"}}))


def change_workspace(job: Path, task: Path) -> None:
    (job / "trial-1" / "workspace.tar.zst").write_bytes(b"otherwise packed")


def remove_workspace(job: Path, task: Path) -> None:
    (job / "trial-1" / "workspace.tar.zst").unlink()


def remove_trial(job: Path, task: Path) -> None:
    shutil.rmtree(job / "trial-1")


def remove_task(job: Path, task: Path) -> None:
    shutil.rmtree(task)


def publish(job: Path, task: Path) -> None:
    make_rubric(2)
    make_rubric(3, name="another")


def only_touch(job: Path, task: Path) -> None:
    for path in (*task.rglob("*"), *(job / "trial-1").rglob("*")):
        os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (change_task, ["the task's files changed"]),
        (change_trajectory, ["the trajectory was changed"]),
        (change_subagents_trajectory, ["the trajectory was changed"]),
        (remove_trajectory, ["the trajectory was changed"]),
        (run_again, ["the trial's result was changed", "the image of the task is another now"]),
        (change_workspace, ["the final workspace was changed"]),
        (remove_workspace, []),
        (remove_trial, ["the trial's directory is no longer there"]),
        (remove_task, ["the task's directory is no longer there"]),
        (publish, ["rubric trial-validity has a newer version 2"]),
        (only_touch, []),
    ],
)
def test_what_has_moved_is_told_in_sentences(job: Path, task: Path, change: Any, reasons: list[str]) -> None:
    critique = make_critique(job, task)
    change(job, task)
    assert moved(critique) == reasons
    assert refresh_staleness([critique]) == (1 if reasons else 0)
    critique.refresh_from_db()
    assert (critique.stale_reasons, critique.is_stale) == (reasons, bool(reasons))
    assert refresh_staleness([critique]) == 0


def test_what_is_as_it_was_again_is_not_stale_any_more(job: Path, task: Path) -> None:
    critique = make_critique(job, task)
    before = (task / "instruction.md").read_text()
    change_task(job, task)
    refresh_staleness([critique])
    (task / "instruction.md").write_text(before)
    assert refresh_staleness([critique]) == 1
    critique.refresh_from_db()
    assert (critique.stale_reasons, critique.is_stale) == ([], False)


@pytest.mark.parametrize("n", [1, 40])
def test_many_critiques_take_no_more_queries_than_one(
    job: Path, task: Path, n: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    critiques = make_critiques(job, digests_of(task=task, trial=job / "trial-1", made_by=CRITIC), n)
    with django_assert_num_queries(2):
        assert refresh_staleness(critiques) == 0
    change_task(job, task)
    # The update is in a savepoint of its own.
    with django_assert_num_queries(3):
        assert refresh_staleness(critiques) == n


def test_files_that_are_as_they_were_are_not_read(job: Path, task: Path) -> None:
    digests = digests_of(task=task, trial=job / "trial-1", made_by=CRITIC)
    [critique] = make_critiques(job, digests.model_copy(update={"trajectory": "sha256:other", "task": "sha256:other"}))
    assert moved(critique) == []


@pytest.mark.parametrize(
    "digests",
    [
        {},
        [],
        {"task": 3},
        {"task": "sha256:x", "task_path": "/"},
        {"task": "sha256:x", "task_path": "a\0b"},
        {"task": "sha256:x", "task_path": "x" * 5000},
        {"task": "sha256:x", "task_path": "/proc/self", "stamps": {"task": "x"}},
        {"trajectory": "sha256:x", "result": "sha256:x", "workspace": "sha256:x", "stamps": []},
    ],
)
@pytest.mark.parametrize("name", ["trial-1", "..", "../../etc", "/etc", "x" * 255, "\u00e9" * 255])
def test_what_files_claim_of_digests_breaks_nothing(job: Path, task: Path, digests: Any, name: str) -> None:
    critique = make_critique(job, task)
    critique.digests, critique.source_name = digests, name
    assert all(isinstance(reason, str) for reason in moved(critique))
    if "\\x00" not in repr(digests):  # which no row has
        critique.save()
        refresh_staleness([critique])
