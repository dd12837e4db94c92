"""Which names a stand-in image may bear, and when it is built anew."""

from dataclasses import replace
from pathlib import Path

import pytest
from docker import DockerClient

from pier_site.bootstrap.images import registry_of
from pier_site.bootstrap.machine import AptSource, Machine
from pier_site.bootstrap.standin import can_stand_in, furnish, image_changes, pip_conf, standin_key, unpacked

MACHINE = Machine(apt_sources=(AptSource("http://m.example.org/debian", ("bookworm",), ("main",)),))


@pytest.mark.parametrize(
    "name",
    [
        "python:3.11-slim-bookworm",
        "python:3.11.9-slim",
        "python:3",
        "debian:bookworm-slim",
        "docker.io/library/debian:12",
    ],
)
def test_names_that_are_honest(name: str) -> None:
    assert can_stand_in(name)


@pytest.mark.parametrize(
    "name",
    [
        "python:3.12-slim",
        "python:3.11-alpine",
        "python:3.11-slim-bullseye",
        "python",
        "node:22",
        "ubuntu:24.04",
        "someone/python:3.11",
        "python:3.11@sha256:" + "0" * 64,
        "debian:trixie",
    ],
)
def test_names_that_would_be_a_lie(name: str) -> None:
    assert not can_stand_in(name)


@pytest.mark.docker
def test_the_base_image_of_the_examples_has_what_tasks_use(docker_engine: DockerClient) -> None:
    script = "python -m venv /tmp/venv && pip --version && python -c 'import sys; print(sys.version_info[:2])'"
    output = docker_engine.containers.run(
        "python:3.11-slim-bookworm", ["sh", "-ec", script], network_mode="none", init=True, remove=True
    )
    assert output.decode().endswith("(3, 11)\n")


@pytest.mark.parametrize(
    "change",
    [
        {"certificates": ("x",)},
        {"pip_settings": {"index-url": "https://i.example.org"}},
        {"npm_registry": "https://n.example.org"},
        {"apt_settings": ('Acquire::Retries "3";',)},
    ],
)
def test_a_changed_machine_gets_another_stand_in(change: dict[str, object]) -> None:
    assert standin_key(MACHINE) == standin_key(MACHINE)
    assert standin_key(replace(MACHINE, **change)) != standin_key(MACHINE)  # type: ignore[arg-type]


def test_the_image_knows_where_its_certificates_are() -> None:
    changes = image_changes(MACHINE, key="abc")
    assert "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in changes
    assert changes[-1] == "LABEL pier-site.standin=1 pier-site.standin-key=abc"
    assert "cert = /etc/ssl/certs/ca-certificates.crt\n" in pip_conf(MACHINE)


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("python:3", "docker.io"),
        ("a/b", "docker.io"),
        ("ghcr.io/a/b:1", "ghcr.io"),
        ("localhost:5000/a", "localhost:5000"),
    ],
)
def test_the_registry_is_read_from_the_name(name: str, registry: str) -> None:
    assert registry_of(name) == registry


def test_the_cached_archive_comes_back_byte_for_byte(tmp_path: Path) -> None:
    import zstandard

    content = bytes(range(256)) * 10_000
    archive = tmp_path / "a.tar.zst"
    archive.write_bytes(zstandard.compress(content))
    assert b"".join(unpacked(archive)) == content


def test_the_tree_is_furnished_like_the_official_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Entering the tree needs a whole Debian and root; the rest of the work is on files.
    monkeypatch.setattr("pier_site.bootstrap.standin.add_certificates", lambda *_: None)
    for folder in (
        "etc/apt/apt.conf.d",
        "usr/lib/python3.11",
        "usr/share/doc/git",
        "usr/share/man",
        "var/lib/apt/lists",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/python3.11/EXTERNALLY-MANAGED").touch()
    for name in ("copyright", "README"):
        (tmp_path / "usr/share/doc/git" / name).touch()
    furnish(tmp_path, MACHINE)
    assert not (tmp_path / "usr/lib/python3.11/EXTERNALLY-MANAGED").exists()
    assert not (tmp_path / "usr/share/man").exists()
    assert [path.name for path in (tmp_path / "usr/share/doc/git").iterdir()] == ["copyright"]
    assert (tmp_path / "etc/apt/sources.list").read_text() == "deb http://m.example.org/debian bookworm main\n"
