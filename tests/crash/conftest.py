"""Sites for commands that are killed."""

import shutil
from pathlib import Path

import pytest

from tests.support.site import Site


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than a trial."""
    site = Site(tmp_path_factory.mktemp("template"))
    assert site.run("migrate", "-v0").code == 0
    return site.data


@pytest.fixture
def site(tmp_path: Path, empty_database: Path) -> Site:
    """A fresh site."""
    shutil.copytree(empty_database, tmp_path / "site")
    return Site(tmp_path / "site")


@pytest.fixture
def fresh_site(tmp_path: Path, empty_database: Path) -> Site:
    """Another one, which knows nothing of what was run."""
    shutil.copytree(empty_database, tmp_path / "fresh")
    return Site(tmp_path / "fresh")
