"""The panels round a trajectory in a real browser: loaded beside it, in step with the reading, quick to go by."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runs.models import Marker
from tests.support.browser import sign_in
from tests.support.factories import World, make_step, make_trajectory, make_world

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    return make_world(tmp_path)


def test_the_outline_goes_to_steps_and_marks_the_one_that_is_read(
    page: "Page", live_server: "LiveServer", world: World
) -> None:
    sign_in(page, live_server.url, world.owner)
    long = make_trajectory(world.trial, [make_step(message=f"message {n}\n\n" * 6) for n in range(300)])
    for index in (10, 250):
        Marker.objects.create(
            trial=world.trial, trajectory=long, index=index, kind=Marker.Kind.EDIT, label=f"{index}.py"
        )
    page.goto(f"{world.trial.get_absolute_url()}?trajectory={long.pk}")
    outline = page.locator("details.outline")
    page.locator("svg.activity").wait_for()
    # A step that is there already is gone to without a request; the row of what is in sight is marked.
    outline.get_by_role("link", name="11 message 10").click()
    page.wait_for_url("**#step-11")
    page.locator("details.outline li[data-here]").wait_for()
    assert page.evaluate("scrollY") > 0
    assert "at=" not in page.url
    outline.get_by_role("link", name="251 message 250").click()
    page.wait_for_url("**at=251#step-251")
    page.locator("#step-251").wait_for()
    outline.get_by_role("link", name="edit 2").click()
    outline.locator(".chip[aria-current]", has_text="edit").wait_for()
    assert outline.locator("li[data-first]").count() == 2


def test_a_click_on_the_activity_goes_to_its_step_and_panels_stay_closed(
    page: "Page", live_server: "LiveServer", world: World
) -> None:
    sign_in(page, live_server.url, world.owner)
    page.goto(world.trial.get_absolute_url())
    page.locator("svg.activity [data-line=slice]").last.click()
    page.wait_for_url("**#step-3")
    page.locator("details[data-fold=activity] > summary").click()
    page.reload()
    page.locator("details[data-fold=activity]:not([open])").wait_for()


def test_a_click_on_a_lane_goes_to_the_sub_agents_own_step(
    page: "Page", live_server: "LiveServer", world: World
) -> None:
    sign_in(page, live_server.url, world.owner)
    child = make_trajectory(
        world.trial, [make_step(message="Look."), make_step(message="Seen by the helper.")], kind="subagent"
    )
    page.goto(world.trial.get_absolute_url())
    # The page has a step of the same number: it is the other trajectory's that is gone to.
    page.locator("svg[data-lane] [data-line=slice]").last.click()
    page.wait_for_url(f"**trajectory={child.pk}&at=2#step-2")
    page.locator("#step-2", has_text="Seen by the helper.").wait_for()


def test_on_paper_there_are_the_steps_and_the_activity_and_nothing_to_click(
    page: "Page", live_server: "LiveServer", world: World
) -> None:
    sign_in(page, live_server.url, world.owner)
    make_trajectory(world.trial, [make_step(message="Look.")] * 2, kind="subagent")
    page.goto(world.trial.get_absolute_url())
    page.locator("svg[data-lane]").wait_for()
    page.emulate_media(media="print")
    for shown in ("#step-1", "#step-3", ".lanes", ".key", ".switcher .chip[aria-current]", "h1"):
        assert page.locator(shown).first.is_visible(), shown
    left_out = (
        ".dock",
        ".topbar",
        ".tabs",
        ".narrowing",
        "details.outline",
        ".crumbs .around",
        ".activity-part .chips",
    )
    for hidden in (*left_out, ".switcher .chip:not([aria-current])", ".who .num a"):
        assert page.locator(hidden).first.is_hidden(), hidden
