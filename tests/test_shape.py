"""The shape of the repository: what may lie at its top, and how long a module may grow."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
TOP_LEVEL = {
    "manage.py",
    "pyproject.toml",
    "requirements",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs",
    "examples",
    "benchmarks",
    "pier_site",
    "runs",
    "viewer",
    "critique",
    "tests",
}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git tracks or would track, relative to the top."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_module_grows_past_its_stop(files: list[Path], record_property: Callable[[str, object], None]) -> None:
    modules = [path for path in files if path.suffix == ".py" and "migrations" not in path.parts]
    lengths = sorted(((len((ROOT / path).read_bytes().splitlines()), path) for path in modules), reverse=True)
    record_property("note", "\n".join(["the ten largest modules:", *(f"{n:5d} {path}" for n, path in lengths[:10])]))
    assert [f"{path} has {length} lines" for length, path in lengths if length > MAX_LINES] == []


def test_the_top_level_is_the_agreed_one(files: list[Path]) -> None:
    found = {path.parts[0] for path in files if not path.parts[0].startswith(".")}
    assert found - TOP_LEVEL == set()
