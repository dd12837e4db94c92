import os
from pathlib import Path

import pytest

from runs.errors import InputInvalid
from runs.indexing.scan import find_jobs, jobs_under
from tests.runs.indexing.files import job_config, job_result, make_job, make_trial, write


def test_a_job_directory_is_found_as_itself_and_in_its_folder(tmp_path: Path) -> None:
    first, second = make_job(tmp_path, "a"), make_job(tmp_path, "b with spaces")
    assert find_jobs(first) == [first]
    assert find_jobs(tmp_path) == [first, second]


def test_a_job_without_any_file_of_its_own_is_known_by_its_trials(tmp_path: Path) -> None:
    make_trial(tmp_path / "night")
    assert find_jobs(tmp_path) == [tmp_path / "night"]


def test_a_job_whose_only_file_is_torn_is_a_job(tmp_path: Path) -> None:
    write(tmp_path / "night/config.json", '{"job_na')
    make_trial(tmp_path / "night")
    assert find_jobs(tmp_path) == [tmp_path / "night"]


def test_runs_below_a_job_name_are_found(tmp_path: Path) -> None:
    run = make_job(tmp_path / "nightly", "2026-08-01")
    assert find_jobs(tmp_path) == [run]


def test_hidden_directories_and_links_that_lead_out_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "jobs"
    job = make_job(root, "a")
    make_job(root, ".hidden")
    make_job(tmp_path / "elsewhere", "b")
    (root / "link").symlink_to(tmp_path / "elsewhere/b")
    write(job / ".critiques/run/config.json", job_config())
    assert find_jobs(root) == [job]


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    job = make_job(tmp_path, "a")
    (tmp_path / "again").symlink_to(tmp_path)
    assert job in jobs_under(tmp_path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda root: root / "nowhere", "does not exist"),
        (lambda root: write(root / "file", "x"), "is a file"),
        (lambda root: root, "holds no job directory"),
        (lambda root: make_trial(make_job(root), "t__1"), "is a trial"),
        (lambda root: write(root / "tb/tb.lock", "{}").parent, "Terminal-Bench 1"),
        (lambda root: write(root / "tb/results.json", "{}").parent, "Terminal-Bench 1"),
    ],
)
def test_what_holds_no_job_is_refused_with_one_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(InputInvalid, match=sentence):
        find_jobs(make(tmp_path))


def test_a_job_result_alone_makes_a_job_and_a_trial_result_alone_does_not(tmp_path: Path) -> None:
    write(tmp_path / "a/result.json", job_result())
    write(tmp_path / "b/result.json", {"trial_name": "x", "task_name": "y"})
    assert find_jobs(tmp_path) == [tmp_path / "a"]


def test_a_name_that_is_no_utf_8_is_found(tmp_path: Path) -> None:
    name = os.fsdecode(b"job\xff")
    assert make_job(tmp_path, name) in find_jobs(tmp_path)
