"""A running trial in a browser, from a server of its own: steps as they come, the end in sight, a server that dies."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runs.indexing.live import LiveIndex
from runs.models import Phase, Status, Trial
from tests.support.browser import GONE, Complaints, sign_in
from tests.support.factories import World
from tests.support.live import write_steps
from tests.support.serving import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

STANDS_STILL = "() => { const y = scrollY; return new Promise(told => setTimeout(() => told(y === scrollY), 200)); }"
NUMBERS = "() => [...document.querySelectorAll('[data-step]')].map(step => Number(step.id.slice(5)))"


def wait_for_steps(page: "Page", last: int) -> None:
    page.locator(f"#step-{last}").wait_for(state="attached")


def test_steps_appear_within_a_second_and_grow_in_place(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    page.goto(trial.get_absolute_url())
    page.get_by_text("has not written a step yet").wait_for()
    write_steps(agent, {1: "I begin."})
    page.locator("#step-1", has_text="I begin.").wait_for()  # the first one opens the page anew
    page.wait_for_function("() => document.querySelector('[data-follow]')?.hidden === false")
    waits = []
    for number in range(2, 8):
        started_at = time.monotonic()
        write_steps(agent, {number - 1: f"step {number - 1} has grown", number: f"step {number}"})
        wait_for_steps(page, number)
        waits.append(time.monotonic() - started_at)
    assert sorted(waits)[3] < 1.0, waits
    page.locator("#step-6", has_text="step 6 has grown").wait_for()
    assert page.evaluate(NUMBERS) == list(range(1, 8))


def test_a_server_that_dies_loses_and_doubles_nothing(
    opened: tuple["Page", Complaints], site: Server, trial: Trial, agent: LiveIndex
) -> None:
    page, complaints = opened
    write_steps(agent, {number: f"step {number}" for number in range(1, 6)})
    page.goto(trial.get_absolute_url())
    write_steps(agent, {6: "step 6"})
    wait_for_steps(page, 6)
    site.kill()
    write_steps(agent, {4: "step 4 after all", 7: "step 7"})
    write_steps(agent, {8: "step 8"})
    page.wait_for_timeout(1_500)
    site.start()
    write_steps(agent, {9: "step 9"})
    wait_for_steps(page, 9)
    assert page.evaluate(NUMBERS) == list(range(1, 10))
    assert "after all" in page.locator("#step-4").inner_text()
    complaints.expect(GONE)


def test_phases_the_verifiers_output_and_the_end_come_by_themselves(
    opened: tuple["Page", Complaints], world: World, trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {1: "done"})
    page.goto(trial.get_absolute_url())
    output = Path(world.job.directory) / trial.name / "verifier" / "test-stdout.txt"
    output.parent.mkdir(parents=True)
    output.write_text("collecting …\n")
    Trial.objects.filter(pk=trial.pk).update(phase=Phase.VERIFIER)
    page.get_by_text("collecting …").wait_for()
    page.locator(".trial-head", has_text="verifier").wait_for()
    with output.open("a") as file:
        file.write("3 passed\n")
    page.get_by_text("3 passed").wait_for()
    Trial.objects.filter(pk=trial.pk).update(status=Status.FINISHED, reward=1.0, phase="")
    page.locator(".trial-head .badge", has_text="reward 1").wait_for()
    page.get_by_text("End of the trajectory").wait_for()
    assert page.locator("[data-follow]").is_hidden()


def test_following_keeps_the_end_in_sight_and_counts_what_is_not_seen(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    text = "a line of a step\n\n" * 8
    write_steps(agent, {number: f"{number} {text}" for number in range(1, 81)})
    page.goto(f"{trial.get_absolute_url()}?at=end")
    assert page.locator("[data-follow]").get_attribute("aria-pressed") == "true"
    write_steps(agent, {81: text})
    wait_for_steps(page, 81)
    page.wait_for_function("() => innerHeight + scrollY >= document.documentElement.scrollHeight - 80")
    # Who reads further up stays there, and is told how much there is to see.
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -900)
    page.wait_for_function("() => document.querySelector('[data-follow]').ariaPressed === 'false'")
    page.wait_for_function(STANDS_STILL)  # the wheel scrolls smoothly
    before = page.evaluate("scrollY")
    write_steps(agent, {82: text, 83: text})
    wait_for_steps(page, 83)
    assert page.locator("[data-unseen]").inner_text().strip() == "+2"
    assert abs(page.evaluate("scrollY") - before) < 5
    page.locator("[data-newest]").click()
    page.wait_for_function("() => innerHeight + scrollY >= document.documentElement.scrollHeight - 80")
    assert page.locator("[data-unseen]").inner_text() == ""
    # Paused at the end, it stays paused.
    page.locator("[data-follow]").click()
    write_steps(agent, {84: text})
    wait_for_steps(page, 84)
    assert page.locator("[data-follow]").get_attribute("aria-pressed") == "false"
    assert page.locator("[data-unseen]").inner_text().strip() == "+1"


def test_windows_that_are_loaded_later_are_kept_up_to_date_too(
    opened: tuple["Page", Complaints], trial: Trial, agent: LiveIndex
) -> None:
    page, _ = opened
    write_steps(agent, {number: f"message {number}\n\n- a\n- b" for number in range(1, 61)})
    page.goto(trial.get_absolute_url())
    assert page.locator("[data-step]").count() == 50
    write_steps(agent, {61: "beyond what is loaded", 60: "grown"})
    page.locator(".more").scroll_into_view_if_needed()
    wait_for_steps(page, 61)
    write_steps(agent, {55: "grown later", 62: "the newest"})
    wait_for_steps(page, 62)
    page.locator("#step-55", has_text="grown later").wait_for(state="attached")
    assert page.evaluate(NUMBERS) == list(range(1, 63))


def test_a_server_without_streams_is_asked_again_and_again(
    world: World, trial: Trial, agent: LiveIndex, page: "Page", live_server: object
) -> None:
    """The tests' own server is a synchronous one."""
    sign_in(page, str(live_server), world.owner)
    write_steps(agent, {1: "one"})
    page.goto(trial.get_absolute_url())
    write_steps(agent, {2: "two"})
    wait_for_steps(page, 2)
    write_steps(agent, {1: "one has grown", 3: "three"})
    wait_for_steps(page, 3)
    page.locator("#step-1", has_text="one has grown").wait_for()
    assert page.evaluate(NUMBERS) == [1, 2, 3]
