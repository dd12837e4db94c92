"""Images: built once, by content, within .dockerignore, of the engine's platform; pruned without touching others'."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.errors import InputInvalid, SandboxFailed
from runs.sandboxes.base import Image
from runs.sandboxes.buildkit import trace_text
from runs.sandboxes.docker_build import sent_files
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine
from runs.scheduling.prune import age_sec, prune_images, prune_workspaces
from runs.tasks.prebuild import prebuild
from tests.support.tasks import BASE_IMAGE, make_task

LABELS = {"pier-site": "1"}


@pytest.fixture
def engine(docker_engine: DockerClient) -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.close()


def context(parent: Path, dockerfile: str = "", **files: str) -> Path:
    folder = parent / "environment"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nENV FOR_TEST={uuid4()}\n{dockerfile}")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.docker
async def test_fifty_that_want_one_image_build_it_once(
    tmp_path: Path, engine: Engine, docker_engine: DockerClient
) -> None:
    output = bytearray()
    image = Image(context=context(tmp_path, "RUN echo built\n"))
    wanted = (resolve_image(engine, image, labels=LABELS, log=lambda _, data: output.extend(data)) for _ in range(50))
    resolved = await asyncio.gather(*wanted)
    assert len({one.id for one in resolved}) == 1
    assert output.count(b"Successfully built") == 1
    assert resolved[0].origin == "built"
    docker_engine.images.remove(resolved[0].reference)


@pytest.mark.docker
async def test_what_is_ignored_does_not_change_the_image(tmp_path: Path, engine: Engine) -> None:
    folder = context(tmp_path, "COPY kept kept\n", kept="1", notes="1")
    (folder / ".dockerignore").write_text("# notes of authors\nnotes\n")
    image = Image(context=folder)
    first = await resolve_image(engine, image, labels=LABELS, log=lambda *_: None)
    (folder / "notes").write_text("2")
    second = await resolve_image(engine, image, labels=LABELS, log=lambda *_: None)
    (folder / "kept").write_text("2")
    third = await resolve_image(engine, image, labels=LABELS, log=lambda *_: None)
    assert first.reference == second.reference != third.reference
    for one in (first, third):
        engine.api.remove_image(one.reference)


def test_only_what_is_sent_counts(tmp_path: Path) -> None:
    folder = context(tmp_path, kept="1", notes="1")
    (folder / ".dockerignore").write_text("*\n!kept\n")
    assert {"Dockerfile", "kept"} <= set(sent_files(folder))
    assert "notes" not in set(sent_files(folder))


@pytest.mark.docker
async def test_an_image_of_another_platform_is_refused_with_both_names(tmp_path: Path, engine: Engine) -> None:
    engine._platform = "linux/riscv64"
    image = Image(BASE_IMAGE, context(tmp_path))
    with pytest.raises(SandboxFailed, match=r"made for linux/\w+, and this engine runs linux/riscv64: --force-build"):
        await resolve_image(engine, image, labels=LABELS, log=lambda *_: None)


@pytest.mark.docker
async def test_a_dockerfile_that_needs_buildkit_is_built_with_it(
    tmp_path: Path, engine: Engine, docker_engine: DockerClient
) -> None:
    output = bytearray()
    folder = context(tmp_path, "RUN --mount=type=cache,target=/cache echo made-$((40+2)) | tee /made\n")
    resolved = await resolve_image(
        engine, Image(context=folder), labels=LABELS, log=lambda _, data: output.extend(data)
    )
    assert b"trying BuildKit" in output
    assert b"made-42" in output
    assert docker_engine.images.get(resolved.reference).labels["pier-site"] == "1"
    docker_engine.images.remove(resolved.reference)


@pytest.mark.docker
async def test_a_failure_under_buildkit_shows_the_commands_output(tmp_path: Path, engine: Engine) -> None:
    folder = context(tmp_path, "RUN --mount=type=cache,target=/cache echo no-luck-$((40+2)); exit 9\n")
    with pytest.raises(SandboxFailed, match="exit code: 9") as caught:
        await resolve_image(engine, Image(context=folder), labels=LABELS, log=lambda *_: None)
    assert "no-luck-42" in str(caught.value)


@settings(deadline=None)
@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_no_progress_message_breaks_a_build(trace: str) -> None:
    assert isinstance(trace_text(trace), str)


@pytest.mark.docker
async def test_prebuild_tells_each_task_that_failed_and_readies_the_others(
    tmp_path: Path, docker_engine: DockerClient
) -> None:
    tasks = [make_task(tmp_path, "good"), make_task(tmp_path, "bad", dockerfile=f"FROM {BASE_IMAGE}\nRUN exit 7\n")]
    done = await prebuild(
        tasks, tmp_path / "logs", n_concurrent=2, force_build=False, lenient_names=False, on_done=lambda _: None
    )
    assert [one.failure is None for one in done] == [True, False]
    assert "exit 7" in done[1].log.read_text()
    assert docker_engine.images.get(done[0].images[0]).id


@pytest.mark.docker
def test_prune_leaves_what_is_young_in_use_or_of_others(tmp_path: Path, docker_engine: DockerClient) -> None:
    folder = context(tmp_path, "RUN echo prune\n")
    names = ["pier-site/prune-test:ours", "pier-site/prune-test:used", "prune-test/foreign:1"]
    for number, name in enumerate(names):
        docker_engine.images.build(path=str(folder), tag=name, labels={**LABELS, "number": str(number)}, rm=True)
    used = docker_engine.containers.create(names[1], labels={"prune-test": "1"})
    try:
        assert list(prune_images(docker_engine.api, 3600.0, dry_run=True)) == [
            line for line in prune_images(docker_engine.api, 3600.0, dry_run=True) if "prune-test" not in line
        ]
        lines = "\n".join(only_of_this_test(docker_engine))
        assert f"image {names[0]}" in lines
        assert "stays" in next(line for line in lines.splitlines() if names[1] in line)
        assert names[2] not in lines
    finally:
        used.remove(force=True)
        for name in names[1:]:
            docker_engine.images.remove(name)


def only_of_this_test(docker_engine: DockerClient) -> list[str]:
    """Prune with an engine that lists this test's images only: others run at the same time."""
    api = docker_engine.api

    class Listed:
        remove_image = staticmethod(api.remove_image)

        @staticmethod
        def images(filters: dict[str, str]) -> list[dict[str, object]]:
            found = api.images(filters=filters)
            return [image for image in found if any("prune-test" in tag for tag in image["RepoTags"] or ())]

    return list(prune_images(Listed, -60.0))  # type: ignore[arg-type]  # what prune uses of an engine


def test_prune_takes_old_workspaces_of_finished_trials_only(tmp_path: Path) -> None:
    for name in ("finished", "running"):
        (tmp_path / "job" / name).mkdir(parents=True)
        (tmp_path / "job" / name / "workspace.tar.zst").write_bytes(b"x")
    (tmp_path / "job" / "finished" / "result.json").write_text(json.dumps({}))
    assert list(prune_workspaces(tmp_path, 3600.0)) == []
    assert len(list(prune_workspaces(tmp_path, -60.0, dry_run=True))) == 1
    assert len(list(prune_workspaces(tmp_path, -60.0))) == 1
    assert not (tmp_path / "job" / "finished" / "workspace.tar.zst").exists()
    assert (tmp_path / "job" / "running" / "workspace.tar.zst").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400.0), ("12h", 43200.0), ("7d", 604800.0), ("1w", 604800.0)])
def test_ages_are_read(text: str, seconds: float) -> None:
    assert age_sec(text) == seconds
    assert time.time() > seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "٣d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid, match="is no age"):
        age_sec(text)
