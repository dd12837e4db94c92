"""Outline, activity and the switchers of a running trial: they follow the feed, and the reader stays where they are."""

import time
from typing import TYPE_CHECKING

import pytest

from runs.indexing.live import LiveIndex
from runs.models import Marker, Status, Trial
from tests.support.browser import GONE, Complaints
from tests.support.live import write_steps
from tests.support.serving import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ROWS = "details.outline li[data-first]"


def requests_of(page: "Page", name: str) -> list[str]:
    """Addresses of requests for a panel from now on."""
    found: list[str] = []

    def note(request: "Request") -> None:
        if f"/{name}/" in request.url:
            found.append(request.url)

    page.on("request", note)
    return found


def mark_edits(trial: Trial, *indexes: int) -> None:
    for index in indexes:
        Marker.objects.create(
            trial=trial, trajectory=trial.trajectories.get(fragment=""), index=index, kind="edit", label=f"{index}.py"
        )


def test_panels_follow_the_feed_without_asking_in_vain(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {1: "one", 2: "two"})
    page.goto(trial.get_absolute_url())
    page.locator(f"{ROWS}[data-last='2']").wait_for()
    page.locator("svg.activity").wait_for()
    page.wait_for_timeout(1_200)
    asked = requests_of(page, "outline")
    page.wait_for_timeout(1_500)
    assert asked == []  # nothing is new
    started_at = time.monotonic()
    for number in range(3, 13):
        write_steps(agent, {number: f"step {number}"})
        page.wait_for_timeout(100)
    page.locator(f"{ROWS}[data-last='12']").wait_for()
    page.locator("svg.activity a[data-first='12']").wait_for(state="attached")
    assert 1 <= len(asked) <= 2 + (time.monotonic() - started_at), asked  # about one a second
    # A sub-agent's trajectory appears in the switcher.
    assert page.locator("nav.switcher").is_hidden()
    write_steps(agent, {1: "I look."}, thread="explore-1")
    page.locator("nav.switcher a", has_text="sub-agent").wait_for()
    # When the trial has ended nothing asks any more.
    Trial.objects.filter(pk=trial.pk).update(status=Status.FINISHED, phase="", reward=1.0)
    page.locator("details.outline [data-live]:not([hx-get])").wait_for()
    page.locator("nav.switcher:not([hx-get])").wait_for()


def test_the_readers_place_in_a_panel_is_kept(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {number: f"step {number}" for number in range(1, 241)})
    mark_edits(trial, *range(0, 240, 2))
    page.goto(trial.get_absolute_url())
    outline = page.locator("details.outline")
    outline.locator("li[data-first='101'] > details > summary").click()
    outline.locator("li[data-first='103'] > a").first.wait_for()
    # The one that is open grows in place, with the focus in it and the panel's scroll as they were.
    outline.locator("li[data-first='103'] > a").first.focus()
    page.evaluate("() => { document.querySelector('details.outline').scrollTop = 60 }")
    mark_edits(trial, 101)
    write_steps(agent, {241: "step 241"})
    outline.locator("li[data-first='241']").wait_for()
    outline.locator("li[data-first='102'] > a").first.wait_for()
    assert outline.locator("li > details[open]").count() == 1
    assert page.evaluate("document.activeElement.closest('li')?.dataset.first") == "103"
    assert page.evaluate("document.querySelector('details.outline').scrollTop") == 60
    # The kind of marker that was asked for stays.
    outline.get_by_role("link", name="edit 121").click()
    outline.locator(".chip[aria-current]", has_text="edit").wait_for()
    mark_edits(trial, 240)
    write_steps(agent, {242: "step 242"})
    outline.locator(".chip[aria-current]", has_text="edit 122").wait_for()


def test_an_answer_that_comes_late_closes_no_group(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {number: f"step {number}" for number in range(1, 241)})
    mark_edits(trial, *range(0, 240, 2))
    page.goto(trial.get_absolute_url())
    outline = page.locator("details.outline")
    outline.locator("li[data-first='231']").wait_for()
    page.wait_for_timeout(1_200)
    held: list[Route] = []

    def hold(route: "Route") -> None:
        held.append(route)

    page.route(lambda url: "/outline/" in url and "from=" not in url and not held, hold)
    write_steps(agent, {241: "step 241"})
    for _ in range(100):
        if not held:
            page.wait_for_timeout(50)
    # It was asked for before the group was opened, and is answered afterwards.
    outline.locator("li[data-first='101'] > details > summary").click()
    outline.locator("li[data-first='103'] > a").first.wait_for()
    held[0].continue_()
    outline.locator("li[data-first='241']").wait_for()
    assert outline.locator("li[data-first='101'] > details[open]").count() == 1
    assert outline.locator("li[data-first='103'] > a").count() > 0


def test_a_closed_panel_asks_nothing_until_it_is_opened(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {1: "one", 2: "two"})
    page.goto(trial.get_absolute_url())
    page.locator("svg.activity").wait_for()
    page.locator("details[data-fold=activity] > summary").click()
    page.wait_for_timeout(1_200)
    asked = requests_of(page, "activity")
    write_steps(agent, {3: "three"})
    page.locator(f"{ROWS}[data-last='3']").wait_for()
    assert asked == []
    page.locator("details[data-fold=activity] > summary").click()
    page.locator("svg.activity a[data-first='3']").wait_for(state="attached")


def test_panels_come_back_with_the_server(
    opened: tuple["Page", Complaints], site: Server, trial: Trial, agent: LiveIndex
) -> None:
    page, complaints = opened
    write_steps(agent, {1: "one", 2: "two"})
    page.goto(trial.get_absolute_url())
    page.locator(f"{ROWS}[data-last='2']").wait_for()
    site.kill()
    write_steps(agent, {3: "three"})
    page.wait_for_timeout(1_500)
    site.start()
    page.locator(f"{ROWS}[data-last='3']").wait_for()
    write_steps(agent, {4: "four"})
    page.locator(f"{ROWS}[data-last='4']").wait_for()
    complaints.expect(GONE)
