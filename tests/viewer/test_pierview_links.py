"""What the login link of pierview opens."""

import threading
from pathlib import Path

import pytest

from runs.errors import InputInvalid
from tests.support.factories import make_job
from viewer.management.commands.pierview import Command, page_of

pytestmark = pytest.mark.django_db


def test_a_job_directory_stands_for_its_page(tmp_path: Path) -> None:
    job = make_job(directory=str(tmp_path.resolve()))
    assert page_of(str(tmp_path)) == job.get_absolute_url()


def test_a_directory_that_is_no_job_stands_for_the_list_and_a_path_for_itself(tmp_path: Path) -> None:
    assert page_of(str(tmp_path)) == "/"
    assert page_of("/jobs/7/") == "/jobs/7/"


def test_an_empty_folder_is_watched_for_jobs_to_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    stop.set()  # the watcher ends after its first look
    assert Command()._index(tmp_path, stop, watching=True) == "/"
    assert "0 jobs with 0 trials" in capsys.readouterr().out
    with pytest.raises(InputInvalid, match="holds no job directory"):
        Command()._index(tmp_path, stop, watching=False)


def test_a_run_in_another_format_among_jobs_is_named_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    for name in ("results.json", "run_metadata.json", "tb.lock"):
        (tmp_path / "old" / name).write_text("{}")
    (tmp_path / "job" / "task__abcdefg" / "agent").mkdir(parents=True)
    (tmp_path / "job" / "config.json").write_text("{}")
    (tmp_path / "job" / "task__abcdefg" / "result.json").write_text('{"task_name": "task"}')
    stop = threading.Event()
    Command()._index(tmp_path, stop, watching=False)
    captured = capsys.readouterr()
    assert "1 job with 1 trial indexed" in captured.out
    assert "Terminal-Bench" in captured.err
