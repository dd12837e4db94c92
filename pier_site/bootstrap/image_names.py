"""Which images a folder of tasks needs: read from the Dockerfiles' FROM lines and from `docker_image` in task.toml.

Files that cannot be read are skipped: whoever runs the task says what is wrong with it.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 1_000_000
ARGUMENT = re.compile(r"^\s*ARG\s+(\w+)=(\S+)", re.IGNORECASE)
FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
COPY_FROM = re.compile(r"^\s*(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE)
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


def images_under(folder: Path) -> list[str]:
    """The names of all images that the tasks under `folder` start from, sorted, each once."""
    names: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if path.name == "task.toml":
            names.update(images_of_task(_text(path)))
        elif path.name == "Dockerfile" or path.name.startswith("Dockerfile."):
            names.update(images_of_dockerfile(_text(path)))
    return sorted(names)


def images_of_dockerfile(text: str) -> Iterator[str]:
    """The images that a Dockerfile pulls: neither its own stages, nor `scratch`, nor what only --build-arg can name."""
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    for line in text.replace("\\\n", " ").splitlines():
        if match := ARGUMENT.match(line):
            arguments.setdefault(match[1], match[2].strip("\"'"))
        elif match := FROM.match(line):
            name = _substituted(match[1], arguments)
            if name and name.lower() not in stages:
                yield name
            if match[2]:
                stages.add(match[2].lower())
        elif match := COPY_FROM.match(line):
            name = match[1]
            if not name.isdigit() and name.lower() not in stages and "$" not in name:
                yield name


def images_of_task(text: str) -> Iterator[str]:
    """The values of `docker_image`, wherever the task says it: environment, verifier or step."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            image = value.get("docker_image")
            if isinstance(image, str) and image:
                yield image
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _substituted(name: str, arguments: dict[str, str]) -> str | None:
    """The name with its ARG defaults filled in; None for `scratch` and for a name that has no default."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = arguments.get(match[1] or match[3]) or match[2]
        missing = missing or not found
        return found or ""

    filled = VARIABLE.sub(value, name)
    return None if missing or not filled or filled.lower() == "scratch" else filled


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return ""
