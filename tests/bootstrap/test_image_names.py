"""Which images the example tasks start from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pier_site.bootstrap.image_names import images_of_dockerfile, images_of_task, images_under


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM python:3.11-slim-bookworm\nRUN true\n", ["python:3.11-slim-bookworm"]),
        ("from --platform=linux/amd64 node:22 as build\nFROM build\nCOPY --from=build /a /b\n", ["node:22"]),
        ("ARG TAG=12\nFROM debian:${TAG}\n", ["debian:12"]),
        ("ARG TAG\nFROM debian:${TAG:-bookworm}\n", ["debian:bookworm"]),
        ("ARG TAG\nFROM debian:$TAG\n", []),
        ("FROM scratch\nCOPY --chown=1:1 --from=alpine:3 /bin/sh /sh\n", ["alpine:3"]),
        ("FROM a:1 AS x\nFROM b:2\nCOPY --from=0 /a /b\n", ["a:1", "b:2"]),
        ("FROM \\\n  python:3\n", ["python:3"]),
        ("# FROM ubuntu\n", []),
    ],
)
def test_a_dockerfile_names_what_it_pulls(dockerfile: str, expected: list[str]) -> None:
    assert list(images_of_dockerfile(dockerfile)) == expected


def test_a_task_names_its_images_wherever_they_stand() -> None:
    task = '[environment]\ndocker_image = "a:1"\n[[steps]]\n[steps.verifier.environment]\ndocker_image = "b:2"\n'
    assert sorted(images_of_task(task)) == ["a:1", "b:2"]


def test_a_torn_task_names_nothing() -> None:
    assert list(images_of_task("[environment\ndocker_image =")) == []


def test_a_folder_gives_each_name_once(tmp_path: Path) -> None:
    for task in ("one", "two"):
        (tmp_path / task / "environment").mkdir(parents=True)
        (tmp_path / task / "environment/Dockerfile").write_text("FROM python:3.11\n")
    (tmp_path / "two/task.toml").write_text('[environment]\ndocker_image = "debian:12"\n')
    (tmp_path / "two/environment/Dockerfile.extra").write_bytes(b"\xff\xfeFROM nothing\n")
    assert images_under(tmp_path) == ["debian:12", "python:3.11"]


@given(st.text())
def test_no_text_is_too_odd_for_the_readers(text: str) -> None:
    list(images_of_dockerfile(text))
    list(images_of_task(text))
