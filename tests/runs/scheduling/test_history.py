"""What a trial's directory says about its executions, and moving an execution's files aside."""

import json
from pathlib import Path

import pytest

from runs.errors import FileUnreadable
from runs.scheduling.history import history_of
from runs.trial.directory import TrialDirectory
from tests.runs.jobs.test_rerunning import result


def write_result(folder: Path, exception: str = "", execution: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written = result(exception).model_copy(update={"execution": execution})
    (folder / "result.json").write_text(written.model_dump_json())


def test_a_trial_that_was_never_begun_gets_its_first_execution(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        history = history_of(folder)
        assert (history.result, history.next_execution, history.n_failed) == (None, 1, 0)


def test_executions_are_counted_and_those_that_failed_by_themselves_too(tmp_path: Path) -> None:
    write_result(tmp_path / "executions" / "1", "SandboxFailed", 1)
    write_result(tmp_path / "executions" / "2", "CancelledError", 2)
    (tmp_path / "executions" / "3").mkdir()
    write_result(tmp_path, "SandboxFailed", 4)
    history = history_of(tmp_path)
    assert (history.next_execution, history.n_failed, history.exception_type) == (5, 2, "SandboxFailed")


def test_a_torn_result_is_none_and_one_that_is_no_trials_is_named(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"id": ')
    assert history_of(tmp_path).result is None
    assert history_of(tmp_path).next_execution == 2
    (tmp_path / "result.json").write_text(json.dumps({"some": "other file"}))
    with pytest.raises(FileUnreadable, match="is not a trial's result"):
        history_of(tmp_path)


@pytest.mark.parametrize("n_moved", [0, 1, 2, 3])
def test_moving_aside_that_was_cut_off_anywhere_goes_on(tmp_path: Path, n_moved: int) -> None:
    write_result(tmp_path)
    (tmp_path / "agent").mkdir()
    (tmp_path / "trial.log").touch()
    unfinished = tmp_path / "executions" / ".1"
    unfinished.mkdir(parents=True)
    for name in ("result.json", "agent", "trial.log")[:n_moved]:
        (tmp_path / name).rename(unfinished / name)
    history = history_of(tmp_path)
    assert (history.next_execution, history.result is None) == (2, n_moved > 0)
    TrialDirectory(tmp_path).put_aside(1)
    TrialDirectory(tmp_path).put_aside(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["executions"]
    assert sorted(path.name for path in (tmp_path / "executions" / "1").iterdir()) == [
        *("agent", "result.json", "trial.log"),
    ]
    assert history_of(tmp_path).next_execution == 2
