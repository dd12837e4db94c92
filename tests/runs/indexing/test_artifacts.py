import os
from pathlib import Path
from typing import Any

import pytest

from pier_site.accounts.models import Project
from runs.indexing import artifacts
from runs.indexing.job import index_job
from runs.models import Artifact
from tests.runs.indexing.files import make_job, make_trial, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_trial(make_job(tmp_path, trials=0))


def indexed(project: Project, folder: Path) -> dict[str, Artifact]:
    """The artifacts of the trial, by path."""
    trial = index_job(project, folder.parent).job.trials.get()
    return {artifact.path: artifact for artifact in trial.artifacts.all()}


def manifest(*entries: tuple[str, str, str, str]) -> list[dict[str, Any]]:
    """A manifest of (source, destination, type, status)."""
    return [dict(zip(("source", "destination", "type", "status"), entry, strict=True)) for entry in entries]


def test_files_are_listed_with_their_size_and_where_they_were(project: Project, folder: Path) -> None:
    write(folder / "artifacts/answer.txt", "42")
    write(folder / "artifacts/out/deep/log.txt", "")
    entries = manifest(
        ("/logs/artifacts", "artifacts", "directory", "ok"), ("/app/out", "artifacts/out", "directory", "ok")
    )
    write(folder / "artifacts/manifest.json", entries)
    rows = indexed(project, folder)
    assert set(rows) == {"artifacts/answer.txt", "artifacts/out", "artifacts/out/deep/log.txt"}
    assert rows["artifacts/answer.txt"].size_bytes == 2
    assert rows["artifacts/answer.txt"].source == "/logs/artifacts/answer.txt"
    assert rows["artifacts/out/deep/log.txt"].source == "/app/out/deep/log.txt"
    assert rows["artifacts/out"].kind == Artifact.Kind.DIRECTORY


def test_what_could_not_be_collected_is_listed_with_its_status(project: Project, folder: Path) -> None:
    entries = manifest(("/a", "artifacts/a", "file", "failed"), ("/b", "artifacts/b", "file", "ok"))
    write(folder / "artifacts/manifest.json", {"entries": entries})
    rows = indexed(project, folder)
    assert rows["artifacts/a"].status == "failed"
    assert rows["artifacts/b"].status == "missing"


@pytest.mark.parametrize("destination", ["/etc/passwd", "artifacts/../../x", "agent/log", "", 7])
def test_a_manifest_that_points_elsewhere_is_ignored(project: Project, folder: Path, destination: Any) -> None:
    write(folder / "artifacts/manifest.json", [{"source": "/x", "destination": destination, "type": "file"}])
    assert indexed(project, folder) == {}


def test_links_and_special_files_are_listed_and_never_followed(project: Project, folder: Path) -> None:
    (folder / "artifacts").mkdir()
    (folder / "artifacts/root").symlink_to("/")
    os.mkfifo(folder / "artifacts/pipe")
    rows = indexed(project, folder)
    assert {path: row.status for path, row in rows.items()} == {
        "artifacts/root": "skipped",
        "artifacts/pipe": "skipped",
    }


def test_names_that_are_no_utf_8_stay_displayable(project: Project, folder: Path) -> None:
    (folder / "artifacts").mkdir()
    for name in (b"a\xff", b"a\xfe", b"line\nbreak"):
        (folder / "artifacts" / os.fsdecode(name)).write_text("x")
    assert set(indexed(project, folder)) == {r"artifacts/a\xff", r"artifacts/a\xfe", "artifacts/line\nbreak"}


def test_artifacts_of_task_steps_are_listed(project: Project, folder: Path) -> None:
    write(folder / "steps/one/artifacts/x.txt", "x")
    entries = manifest(("/app/x.txt", "artifacts/x.txt", "file", "ok"))
    write(folder / "steps/one/artifacts/manifest.json", entries)
    assert indexed(project, folder)["steps/one/artifacts/x.txt"].source == "/app/x.txt"


def test_very_many_artifacts_are_cut_with_a_problem(
    project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_ROWS", 5)
    for number in range(9):
        write(folder / f"artifacts/{number}", "x")
    report = index_job(project, folder.parent)
    assert Artifact.objects.count() == 5
    assert "only the first 5 artifacts" in report.problems[0].reason


def test_a_torn_manifest_is_reported_and_the_files_are_listed(project: Project, folder: Path) -> None:
    write(folder / "artifacts/x", "x")
    write(folder / "artifacts/manifest.json", '[{"source"')
    report = index_job(project, folder.parent)
    assert [problem.path.name for problem in report.problems] == ["manifest.json"]
    assert Artifact.objects.get().path == "artifacts/x"
