from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from runs.models import Job, Trial
from tests.runs.indexing.files import make_job, make_trial, write

pytestmark = pytest.mark.django_db


def pierjob(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `pierjob`."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("pierjob", *map(str, arguments), stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_indexing_twice_reads_once(tmp_path: Path) -> None:
    make_job(tmp_path, "a", trials=2)
    make_job(tmp_path, "b")
    assert pierjob("index", tmp_path) == (
        0,
        "a: 2 trials, 2 read, 0 unchanged\nb: 1 trial, 1 read, 0 unchanged\n2 jobs: 3 trials, 3 read, 0 unchanged\n",
        "",
    )
    code, out, _ = pierjob("index", tmp_path, tmp_path / "a")
    assert code == 0
    assert out.endswith("2 jobs: 3 trials, 0 read, 3 unchanged\n")
    assert (Job.objects.count(), Trial.objects.count()) == (2, 3)


def test_a_broken_file_is_named_on_stderr_and_the_exit_code_is_0(tmp_path: Path) -> None:
    job = make_job(tmp_path, "a")
    broken = write(make_trial(job, "t__1") / "result.json", '{"a": \n 1,')
    code, out, err = pierjob("index", job)
    assert code == 0
    assert err.startswith(f"{broken}: not JSON at line 2")
    assert out.endswith("1 job: 2 trials, 2 read, 0 unchanged; 1 problem\n")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nowhere", "does not exist"), ("empty", "holds no job directory"), ("tb", "Terminal-Bench 1")],
)
def test_what_cannot_be_indexed_is_one_sentence_and_exit_2(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "tb/tb.lock", "{}")
    code, out, err = pierjob("index", tmp_path / name)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_terminal_bench_beside_a_job_is_reported_and_the_job_is_indexed(tmp_path: Path) -> None:
    write(tmp_path / "tb/tb.lock", "{}")
    make_job(tmp_path, "a")
    code, out, err = pierjob("index", tmp_path)
    assert code == 0
    assert "Terminal-Bench 1" in err
    assert out.startswith("a: 1 trial, 1 read")


def test_a_missing_path_beside_a_good_one_indexes_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path, "a")
    code, _, _ = pierjob("index", job, tmp_path / "nowhere")
    assert code == 2
    assert not Job.objects.exists()
