"""A job on disk and in the database, and people who look at it."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from pier_site.accounts.models import Role, User
from runs.indexing.job import index_job
from runs.models import Job
from tests.critique.running.conftest import finished, job, task_set
from tests.support.factories import make_member, make_project

__all__ = ["finished", "indexed", "job", "owner", "started", "task_set", "viewer"]


@pytest.fixture
def indexed(db: None, job: Path) -> Job:
    """A job of two finished trials, one that passed and one that failed."""
    return index_job(make_project(), job).job


@pytest.fixture
def owner(indexed: Job) -> User:
    return make_member(indexed.project)


@pytest.fixture
def viewer(indexed: Job) -> User:
    return make_member(indexed.project, Role.VIEWER)


@pytest.fixture
def pages(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, tmp_path: Path) -> list[list[str]]:
    """The command lines of processes that would have been started: they would not find this test's database."""
    found: list[list[str]] = []
    settings.DATA_DIR = tmp_path / "data"

    class Process:
        pid = 1

        def __init__(self, command: list[str], **settings: Any) -> None:
            assert settings["start_new_session"]
            found.append(command)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("subprocess.Popen", Process)
    return found
