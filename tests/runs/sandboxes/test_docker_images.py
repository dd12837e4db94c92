"""Images: built once, by content, within .dockerignore, of the engine's platform; pruned without touching others'."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from docker import APIClient, DockerClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from runs.agents.install import Install, Script
from runs.errors import InputInvalid, SandboxFailed
from runs.sandboxes.base import Image, ResolvedImage
from runs.sandboxes.buildkit import trace_text
from runs.sandboxes.docker_build import STEP_IMAGE, sent_files
from runs.sandboxes.docker_images import resolve_image
from runs.sandboxes.engine import Engine
from runs.sandboxes.last_use import file_of as last_use_file
from runs.sandboxes.last_use import forget, last_use, note_use
from runs.scheduling.prune import LARGE_FILES, age_sec, prune_files, prune_images, prune_installs
from runs.tasks.prebuild import Wanted, prebuild, wanted
from tests.support.tasks import BASE_IMAGE, make_task

LABELS = {"pier-site": "1"}
# What tells the images of this module from those of all others.
CONTEXTS: set[str] = set()


@pytest.fixture
def engine(docker_engine: DockerClient) -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.close()
    for image in docker_engine.images.list("pier-site/stage"):
        if CONTEXTS & set(image.attrs["Config"]["Env"]):
            docker_engine.images.remove(str(image.id), force=True)


def context(parent: Path, dockerfile: str = "", **files: str) -> Path:
    folder = parent / "environment"
    folder.mkdir()
    mark = f"FOR_TEST={uuid4()}"
    CONTEXTS.add(mark)
    (folder / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nENV {mark}\n{dockerfile}")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.docker
async def test_fifty_that_want_one_image_build_it_once(
    tmp_path: Path, engine: Engine, docker_engine: DockerClient
) -> None:
    image = Image(context=context(tmp_path, "RUN cat /proc/sys/kernel/random/uuid\n"))
    logs = [bytearray() for _ in range(50)]

    async def one(log: bytearray) -> ResolvedImage:
        return await resolve_image(engine, image, labels=LABELS, log=lambda _, data: log.extend(data))

    resolved = await asyncio.gather(*map(one, logs))
    assert len({one.id for one in resolved}) == 1
    # Each has the whole log of the one build.
    assert len({bytes(log) for log in logs}) == 1
    assert logs[0].count(b"Successfully built") == 1
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
async def test_prebuild_installs_agents_on_the_images(tmp_path: Path, docker_engine: DockerClient) -> None:
    agent = f"test-{uuid4().hex[:12]}"
    install = Install(agent, "1", Script("mkdir -p /opt/pier/x; echo > /opt/pier/x/cli", "/opt/pier/x"), clis=("cli",))
    broken = replace(install, agent=f"{agent}-broken", method=Script("exit 9"))
    tasks = [make_task(tmp_path, "one"), make_task(tmp_path, "other")]
    ready, failed = [
        await prebuild(
            tasks,
            tmp_path / "logs",
            installs=[one],
            n_concurrent=2,
            force_build=False,
            lenient_names=False,
            on_done=lambda _: None,
        )
        for one in (install, broken)
    ]
    assert [(one.failure, one.agents) for one in ready] == [(None, (f"{agent} 1",))] * 2
    assert all("could not be installed" in (one.failure or "") for one in failed)
    # Both tasks have the same image.
    (layer,) = docker_engine.images.list(filters={"label": f"pier-site.agent={agent}"})
    docker_engine.images.remove(str(layer.id), force=True)


def test_what_to_prebuild_comes_from_a_path_from_job_files_and_from_names(tmp_path: Path) -> None:
    task = make_task(tmp_path, "one")
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps({"tasks": [{"path": str(task)}], "agents": [{"name": "oracle"}], "lenient_names": True}))
    by_file = wanted(None, [job], [], version=None, lenient_names=False)
    assert by_file == Wanted((task,), (), lenient_names=True)
    assert wanted(tmp_path, [], ["nop"], version=None, lenient_names=False) == Wanted((task,), (), lenient_names=False)
    with pytest.raises(InputInvalid, match="there is no task to prepare"):
        wanted(None, [], [], version=None, lenient_names=False)
    with pytest.raises(InputInvalid, match="exactly one -a"):
        wanted(task, [], ["nop", "oracle"], version="1", lenient_names=False)
    with pytest.raises(InputInvalid, match="there is no agent 'nobody'"):
        wanted(task, [], ["nobody"], version=None, lenient_names=False)


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
async def test_the_steps_of_a_build_that_failed_get_a_name_of_ours_and_go_with_prune(
    tmp_path: Path, engine: Engine, docker_engine: DockerClient
) -> None:
    foreign = str(docker_engine.images.get(BASE_IMAGE).id).removeprefix("sha256:")[:12]
    folder = context(tmp_path, f"RUN printf ' ---> {foreign}\\n'\nRUN echo second\nRUN exit 3\n")
    steps: list[str] = []

    def on_output(_: str, data: bytes) -> None:
        steps.extend(STEP_IMAGE.findall(data.decode()))

    with pytest.raises(SandboxFailed, match="returned a non-zero code: 3"):
        await resolve_image(engine, Image(context=folder), labels=LABELS, log=on_output)
    last = docker_engine.images.get(f"pier-site/stage:{steps[-1]}")
    assert last.labels["pier-site"] == "1"
    # What a build merely prints is touched by nobody.
    assert not any(tag.startswith("pier-site/stage") for tag in docker_engine.images.get(BASE_IMAGE).tags)
    assert nameless(docker_engine).isdisjoint(steps)
    lines = list(prune_images(only(docker_engine, f"pier-site/stage:{steps[-1]}"), -60.0))
    assert [line.split(" ")[1] for line in lines] == [f"pier-site/stage:{steps[-1]}"]
    assert "removed" in lines[0]
    assert docker_engine.images.list(f"pier-site/stage:{steps[-1]}") == []


@pytest.mark.docker
async def test_building_anew_leaves_no_nameless_image(
    tmp_path: Path, engine: Engine, docker_engine: DockerClient
) -> None:
    folder = context(tmp_path, "RUN cat /proc/sys/kernel/random/uuid > /made\n")
    built = [
        await resolve_image(engine, Image(context=folder, force_build=True), labels=LABELS, log=lambda *_: None)
        for _ in range(2)
    ]
    assert built[0].reference == built[1].reference
    old = built[0].id.removeprefix("sha256:")[:12]
    assert old != built[1].id.removeprefix("sha256:")[:12]
    assert nameless(docker_engine).isdisjoint({old})
    for name in (f"pier-site/stage:{old}", built[1].reference):
        docker_engine.images.remove(name)


def nameless(docker_engine: DockerClient) -> set[str]:
    return {str(image.id)[7:19] for image in docker_engine.images.list(filters={"dangling": True})}


def only(docker_engine: DockerClient, *names: str) -> APIClient:
    """An engine that lists the images of these names only: others run at the same time."""
    api = docker_engine.api

    class Listed:
        remove_image = staticmethod(api.remove_image)

        @staticmethod
        def images(filters: dict[str, str]) -> list[dict[str, object]]:
            return [image for image in api.images(filters=filters) if set(names) & set(image["RepoTags"] or ())]

    return cast("APIClient", Listed)


@pytest.mark.docker
def test_an_image_that_was_used_lately_stays(tmp_path: Path, docker_engine: DockerClient) -> None:
    name = f"pier-site/prune-used:{uuid4().hex[:12]}"
    docker_engine.images.build(path=str(context(tmp_path)), tag=name, labels=LABELS, rm=True)
    engine = only(docker_engine, name)
    in_an_hour = time.time() + 3600
    try:
        assert len(list(prune_images(engine, -60.0, dry_run=True))) == 1
        note_use(name)
        os.utime(last_use_file(name), (in_an_hour, in_an_hour))
        assert list(prune_images(engine, -60.0)) == []
        os.utime(last_use_file(name), (0, 0))
        assert len(list(prune_images(engine, -60.0))) == 1
        assert last_use(name) == 0.0
    finally:
        forget(name)


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
    names = ("pier-site/prune-test:ours", "pier-site/prune-test:used", "prune-test/foreign:1")
    return list(prune_images(only(docker_engine, *names), -60.0))


def test_prune_takes_old_workspaces_and_recordings_of_finished_trials_only(tmp_path: Path) -> None:
    for name in ("finished", "running"):
        for path in LARGE_FILES:
            file = tmp_path / "job" / name / path.replace("*", "one")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
    finished, running = tmp_path / "job" / "finished", tmp_path / "job" / "running"
    (finished / "result.json").write_text(json.dumps({}))
    (finished / "changes.patch").write_text("x")
    assert list(prune_files(tmp_path, 3600.0)) == []
    assert len(list(prune_files(tmp_path, -60.0, dry_run=True))) == len(LARGE_FILES)
    assert len(list(prune_files(tmp_path, -60.0))) == len(LARGE_FILES)
    assert [path.name for path in sorted(finished.rglob("*")) if path.is_file()] == ["changes.patch", "result.json"]
    assert len([path for path in running.rglob("*") if path.is_file()]) == len(LARGE_FILES)


def test_prune_takes_agents_of_the_host_sandbox_that_nobody_used(tmp_path: Path, settings: Settings) -> None:
    settings.CACHE_DIR = tmp_path
    assert list(prune_installs(-60.0)) == []
    folder = tmp_path / "installs" / "agent-1"
    folder.mkdir(parents=True)
    (folder / "program").write_bytes(b"x" * 2**20)
    assert list(prune_installs(3600.0)) == []
    (line,) = prune_installs(-60.0)
    assert line == f"folder {folder} (1.0 MiB): removed"
    assert not folder.exists()


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400.0), ("12h", 43200.0), ("7d", 604800.0), ("1w", 604800.0)])
def test_ages_are_read(text: str, seconds: float) -> None:
    assert age_sec(text) == seconds
    assert time.time() > seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "٣d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid, match="is no age"):
        age_sec(text)
