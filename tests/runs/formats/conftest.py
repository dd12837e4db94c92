"""Fixtures of the format tests: the public corpora, where they are present."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The directory of public tasks, job files and trajectories."""
    directory = Path(os.environ.get("PIER_CORPORA", ROOT.parent / "shared"))
    if not (directory / "tasks").is_dir():
        pytest.skip(f"no corpora at {directory}; set PIER_CORPORA")
    return directory
