"""A running trial on a server of its own, its agent, and a browser that looks at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runs.indexing.live import LiveIndex
from runs.models import Phase, Status, Trial
from tests.support.browser import Complaints, browser_page, sign_in
from tests.support.factories import World, make_trial, make_world
from tests.support.serving import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Playwright's driver keeps an event loop in this thread, before which Django would refuse to write rows.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    return make_world(tmp_path)


@pytest.fixture
def trial(world: World) -> Trial:
    columns = {"status": Status.RUNNING, "phase": Phase.AGENT_EXECUTION, "owner": "me", "reward": None}
    return make_trial(world.job, finished_at=None, **columns)


@pytest.fixture
def agent(trial: Trial) -> LiveIndex:
    """The index that the trial's agent writes to."""
    return LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "codex", "gpt")


@pytest.fixture
def site(world: World) -> Iterator[Server]:
    site = Server()
    try:
        site.start()
        yield site
    finally:
        site.kill()


@pytest.fixture
def opened(site: Server, world: World) -> Iterator[tuple["Page", Complaints]]:
    """A page of the owner on that site; what it complains about at the end fails the test."""
    with browser_page(site.url) as (page, complaints):
        sign_in(page, site.url, world.owner)
        yield page, complaints
    assert not complaints, "the page did what no page of ours may do:\n" + "\n".join(complaints)
