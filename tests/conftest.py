"""What all tests share: the --postgres option, the kinds of tests, the engine, the browser, the public data."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.browser import Complaints, browser_page

if TYPE_CHECKING:
    from docker import DockerClient
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytest_plugins = ["tests.support.timing"]

# A busy machine is no reason to fail: what counts is what is found.
settings.register_profile("pier", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pier")

ROOT = Path(__file__).resolve().parent.parent
NOT_ON_POSTGRES = ("docker", "browser", "agents", "agents_all", "peers")
ONLY_IF_ASKED_FOR = ("agents_all", "peers")
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --postgres."""
    parser.addoption(
        "--postgres",
        action="store_true",
        help="run only the tests that touch the database, on PostgreSQL (DATABASE_URL)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --postgres on another database: the tests would pass and tell nothing."""
    if config.getoption("--postgres") and not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        raise pytest.UsageError("--postgres needs DATABASE_URL: python -m tests.support.postgres pytest --postgres")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests for this database; what takes a command of its own runs only when it is asked for with -m."""
    wanted = is_for_postgres if config.getoption("--postgres") else is_for_sqlite
    left_out = [marker for marker in ONLY_IF_ASKED_FOR if marker not in config.getoption("-m")]
    chosen = [item for item in items if wanted(item) and not any(has(item, marker) for marker in left_out)]
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def is_for_postgres(item: pytest.Item) -> bool:
    """Whether the test touches the database and nothing slower."""
    touches = has(item, "django_db") or bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))
    return has(item, "postgres") or (touches and not any(has(item, name) for name in NOT_ON_POSTGRES))


def is_for_sqlite(item: pytest.Item) -> bool:
    """Whether the test makes sense without PostgreSQL."""
    return not has(item, "postgres")


def has(item: pytest.Item, marker: str) -> bool:
    """Whether the test has the marker."""
    return item.get_closest_marker(marker) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests over the public data where it is absent."""
    if has(item, "corpora") and not corpora_folder().is_dir():
        pytest.skip(f"no public job directories at {corpora_folder()} (PIER_CORPORA)")


def corpora_folder() -> Path:
    """Where the public job directories and task sets lie."""
    return Path(os.environ.get("PIER_CORPORA") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of public job directories and task sets; for tests marked `corpora`."""
    return corpora_folder()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator["DockerClient"]:
    """A client of the engine, for tests marked `docker`; without an engine they fail, they are not skipped."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        pytest.fail(f"no Docker engine answers (start one with: python -m pier_site.bootstrap engine): {error}")
    yield client
    client.close()


@pytest.fixture
def watched_page(live_server: "LiveServer", monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple["Page", Complaints]]:
    """A browser page on the live server and what it may be blamed for; what is left at the end fails the test."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with browser_page(live_server.url) as (page, complaints):
        yield page, complaints
    assert not complaints, "the page did what no page of ours may do:\n" + "\n".join(complaints)


@pytest.fixture
def page(watched_page: tuple["Page", Complaints]) -> "Page":
    """A browser page on the live server, for tests marked `browser`."""
    return watched_page[0]


@pytest.fixture
def complaints(watched_page: tuple["Page", Complaints]) -> Complaints:
    """What the page has done wrong so far, for a test that expects some."""
    return watched_page[1]
