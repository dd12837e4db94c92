import os
import signal
from pathlib import Path

import pytest

from pier_site.accounts.models import Project
from runs.indexing import pool as pools
from runs.indexing.draft import DraftTask, draft_of
from runs.indexing.job import index_job
from runs.indexing.pool import DraftPool
from runs.indexing.stamps import stamps_of
from runs.models import Trial
from tests.runs.indexing.files import make_job, make_trial, trajectory, write


def task_for(directory: Path) -> DraftTask:
    """The task of a trial that was never read."""
    return DraftTask(directory, {}, stamps_of(directory), {}, may_live=True, keeps_status=False, patience_sec=0.0)


def test_trials_read_in_processes_are_the_same_rows_in_the_same_order(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "START_BYTES", 0)
    job = make_job(tmp_path, trials=9)
    embedded = trajectory(trajectory_id="in")
    write(job / "fix-it__0000004/agent/trajectory.json", trajectory(subagent_trajectories=[embedded]))
    write(job / "fix-it__0000005/result.json", '{"torn')
    with DraftPool(2) as pool:
        report = index_job(project, job, draft=pool.drafts)
    assert report.n_read == 9
    assert [problem.path for problem in report.problems] == [job / "fix-it__0000005/result.json"]
    assert Trial.objects.get(name="fix-it__0000004").trajectories.count() == 2
    assert all(trial.n_steps in (2, 4) for trial in Trial.objects.all())


def test_little_is_read_without_starting_processes(tmp_path: Path) -> None:
    folder = make_trial(tmp_path)
    with DraftPool(2) as pool:
        [draft] = pool.drafts([task_for(folder)])
        assert pool._executor is None
    assert draft.columns == draft_of(task_for(folder)).columns


def test_a_process_that_is_killed_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "START_BYTES", 0)
    folders = [make_trial(tmp_path, f"t__{number}") for number in range(8)]
    with DraftPool(2) as pool:
        drafts = pool.drafts([task_for(folder) for folder in folders])
        found = [next(drafts)]
        assert pool._executor is not None
        for pid in list(pool._executor._processes):
            os.kill(pid, signal.SIGKILL)
        found += drafts
    assert [draft.columns["reward"] for draft in found] == [1.0] * 8
