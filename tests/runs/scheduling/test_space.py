"""What takes the space: each job's files within bounds, and images by what they add; asked again only after a while."""

from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient
from pytest_django.fixtures import Settings

from runs.scheduling import space
from runs.scheduling.space import space_used
from tests.support.tasks import BASE_IMAGE

MIB = 2**20


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no engine unless a test has one."""
    settings.CACHE_DIR = tmp_path / "cache"
    # Not a missing socket: the SDK leaves one open then.
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


def make_job(folder: Path) -> Path:
    for trial in ("one", "two"):
        (folder / trial / "agent").mkdir(parents=True)
        (folder / trial / "workspace.tar.zst").write_bytes(b"w" * MIB)
        (folder / trial / "agent" / "recording.cast").write_bytes(b"r" * MIB)
        (folder / trial / "result.json").write_bytes(b"{}")
    (folder / "outside").symlink_to("/usr")
    return folder


def test_a_jobs_workspaces_and_recordings_are_told_apart(tmp_path: Path) -> None:
    job, empty = make_job(tmp_path / "job"), tmp_path / "no-such-job"
    found = space_used([job, empty])
    first, second = found.jobs
    assert (first.directory, second.directory) == (str(job), str(empty))
    assert (first.workspace_bytes, first.recording_bytes) == (2 * MIB, 2 * MIB)
    assert 4 * MIB < first.size_bytes < 5 * MIB
    assert second.size_bytes == 0
    assert not found.is_partial
    assert "connection refused" in (found.engine_problem or "")


def test_it_is_measured_again_only_when_it_is_old_or_about_other_jobs(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    first = space_used([job])
    (job / "more").write_bytes(b"x" * MIB)
    assert space_used([job]) == first
    assert space_used([job], max_age_sec=0).jobs[0].size_bytes > first.jobs[0].size_bytes
    assert len(space_used([job, tmp_path / "other"]).jobs) == 2


@pytest.mark.parametrize("content", ["", "{}", "[", '{"jobs": 1}'])
def test_a_torn_measurement_is_made_anew(content: str, tmp_path: Path) -> None:
    assert space_used([]).jobs == ()
    (kept,) = (tmp_path / "cache" / "space").iterdir()
    kept.write_text(content)
    assert space_used([]).jobs == ()
    assert kept.read_text() != content


def test_a_measurement_that_would_take_too_long_says_that_it_is_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "MAX_FILES", 3)
    found = space_used([make_job(tmp_path / "job")])
    assert found.is_partial
    assert found.jobs[0].is_partial


def test_caches_are_counted(tmp_path: Path) -> None:
    for name in ("installs", "toolchains"):
        (tmp_path / "cache" / name / "x").mkdir(parents=True)
        (tmp_path / "cache" / name / "x" / "program").write_bytes(b"x" * MIB)
    found = space_used([])
    assert (found.installs_bytes, found.toolchains_bytes) == (MIB, MIB)


@pytest.mark.docker
def test_an_image_counts_what_it_adds_to_the_one_below(
    tmp_path: Path, docker_engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    name = f"pier-site/task:{uuid4().hex[:24]}"
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN head -c {3 * MIB} /dev/urandom > /large\n")
    docker_engine.images.build(path=str(tmp_path), tag=name, labels={"pier-site": "1"}, rm=True)
    try:
        found = space_used([])
        (image,) = (image for image in found.images if image.name == name)
        assert found.engine_problem is None
        assert image.kind == "task"
        assert 3 * MIB <= image.size_bytes < 4 * MIB
    finally:
        docker_engine.images.remove(name)
