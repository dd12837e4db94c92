"""Windows of steps: every one of them is reached, in both directions, and none is large."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Q
from django.http import QueryDict
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from pier_site.accounts import visibility
from pier_site.accounts.visibility import Hideable
from runs.models import Marker, Step, Trajectory, Trial
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_world
from viewer.cards import subagents_of
from viewer.windows import Place, StepRenderer, Window, window_at

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


@pytest.fixture
def long(world: World) -> Trajectory:
    return make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(120)])


def at(trajectory: Trajectory, query: str) -> Window:
    renderer = StepRenderer(trajectory.trial, trajectory, subagents_of([trajectory]))
    return window_at(Place.of(QueryDict(query)), trajectory.steps.all(), renderer)


def numbers(window: Window) -> list[int]:
    return [step.number for step in window.steps]


def html_of(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def step_numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="step-(\d+)"', html)]


def followed(pages: Client, address: str, link: str) -> Iterator[str]:
    """Pages from one to the next by the address that `link` finds."""
    while True:
        html = html_of(pages.get(address, headers=HTMX))
        yield html
        more = re.search(link, html)
        if not more:
            return
        address = more[1].replace("&amp;", "&")


def test_windows_lead_from_the_start_to_the_end_and_back(pages: Client, long: Trajectory) -> None:
    first = f"{long.trial.get_absolute_url()}?trajectory={long.pk}"
    forth = [step_numbers(html) for html in followed(pages, first, r'hx-get="([^"]+after=\d+[^"]*)"')]
    assert [number for part in forth for number in part] == list(range(1, 121))
    back = [step_numbers(html) for html in followed(pages, f"{first}&at=end", r'hx-get="([^"]+before=\d+[^"]*)"')]
    assert [number for part in reversed(back) for number in part] == list(range(1, 121))


def test_links_between_windows_work_without_a_script(pages: Client, long: Trajectory) -> None:
    html = html_of(pages.get(f"{long.trial.get_absolute_url()}?trajectory={long.pk}&at=60"))
    found = re.findall(r'class="button"\s+href="(\?[^"]+)"', html)
    seen = [
        step_numbers(html_of(pages.get(long.trial.get_absolute_url() + link.replace("&amp;", "&")))) for link in found
    ]
    assert [(part[0], part[-1]) for part in seen if part] == [(7, 56), (107, 120)]


def test_a_deep_link_opens_its_window_first(long: Trajectory) -> None:
    assert numbers(at(long, "at=100")) == list(range(97, 121))
    assert numbers(at(long, "at=1"))[0] == 1
    assert numbers(at(long, "at=999"))[-1] == 120
    assert numbers(at(long, "at=end")) == list(range(71, 121))


def test_the_step_that_is_asked_for_is_there_whatever_stands_before_it(world: World) -> None:
    huge = make_trajectory(world.trial, [make_step(message=f"{n} " + "<b>&" * 9_000) for n in range(9)])
    for number in range(1, 10):
        assert number in numbers(at(huge, f"at={number}"))


def test_a_window_is_small_and_goes_on_where_it_ended(world: World) -> None:
    steps = [make_shell_step(f"cat {n}", "<&>\n" * 20_000) for n in range(70)]
    big = make_trajectory(world.trial, steps)
    seen: list[int] = []
    place = "after=0"
    while place:
        window = at(big, place)
        assert sum(len(step.html.encode()) for step in window.steps) < 60_000
        seen += numbers(window)
        place = "" if window.after is None else f"after={window.after}"
    assert seen == list(range(2, 71))


def test_the_first_page_is_small_whatever_the_steps_hold(pages: Client, world: World) -> None:
    for text in ("x" * 50_000, "a\n" * 20_000, "<&" * 9_000, "| a " * 9_000, "- x\n" * 3_000):
        big = make_trajectory(world.trial, [make_step(message=text), make_shell_step("cat", text)] * 30)
        html = html_of(pages.get(f"{world.trial.get_absolute_url()}?trajectory={big.pk}"))
        assert step_numbers(html)


def test_an_elapsed_time_counts_from_the_step_ahead_also_across_windows(long: Trajectory) -> None:
    assert "+1.0 s" in at(long, "after=49").steps[0].html
    assert "+1.0 s" in at(long, "before=50").steps[0].html or numbers(at(long, "before=50"))[0] == 1


@pytest.mark.parametrize("query", ["at=x", "at=-1", "at=", "after=", "at=99999999999", "after=%D9%A3", "before=x"])
def test_a_step_that_is_no_number_is_a_bad_request(query: str, pages: Client, world: World) -> None:
    assert pages.get(f"{world.trial.get_absolute_url()}?{query}").status_code == 400


@pytest.mark.parametrize(("typed", "number"), [("7", 7), (" 0", 1), ("5000", 120), ("", 1)])
def test_going_to_a_step_leads_to_its_anchor(pages: Client, long: Trajectory, typed: str, number: int) -> None:
    answer = pages.get(long.trial.get_absolute_url(), {"trajectory": str(long.pk), "goto": typed, "hide": "output"})
    assert answer.status_code == 302
    assert answer["Location"].endswith(f"&at={number}#step-{number}")
    assert "hide=output" in answer["Location"]
    assert number in step_numbers(html_of(pages.get(answer["Location"])))


def test_a_narrowed_trajectory_shows_only_what_was_asked_for(pages: Client, world: World) -> None:
    steps = [make_step(message="hello"), make_shell_step("ls", "x"), make_shell_step("false", "no")] * 40
    mixed = make_trajectory(world.trial, steps)
    Step.objects.filter(trajectory=mixed, index__in=[2, 62]).update(has_error=True)
    Step.objects.filter(trajectory=mixed, index__in=[4, 7]).update(tool_names="bash Edit")
    Step.objects.filter(trajectory=mixed, index=10).update(tool_names="TodoWrite")
    Step.objects.filter(trajectory=mixed).exclude(summary="hello").update(has_message=False)
    first = f"{world.trial.get_absolute_url()}?trajectory={mixed.pk}"
    assert step_numbers(html_of(pages.get(f"{first}&show=errors"))) == [3, 63]
    assert step_numbers(html_of(pages.get(f"{first}&show=edits"))) == [5, 8]
    messages = html_of(pages.get(f"{first}&show=messages&hide=output&hide=nothing"))
    assert step_numbers(messages) == list(range(1, 119, 3))
    assert 'data-hide="output"' in messages
    assert step_numbers(html_of(pages.get(f"{first}&show=errors&at=60"))) == [3, 63]
    assert "all steps" in html_of(pages.get(f"{first}&show=errors&after=100"))
    for kind, index in (("edit", 20), ("test", 21), ("error", 22)):
        Marker.objects.create(trial=world.trial, trajectory=mixed, index=index, kind=kind)
    for show, numbers in (("edits", [5, 8, 21]), ("tests", [22]), ("errors", [3, 23, 63])):
        assert step_numbers(html_of(pages.get(f"{first}&show={show}"))) == numbers
    assert step_numbers(html_of(pages.get(f"{first}&show=no-such"))) == list(range(1, 51))


def test_steps_are_not_found_by_markers_that_are_hidden_from_the_reader(
    pages: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "_rules", {})
    visibility.hide(Hideable.MARKER, lambda user: Q(label="secret") if user == world.owner else Q(pk__in=[]))
    marked = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(5)])
    for index, label in ((1, "secret"), (3, "open")):
        Marker.objects.create(trial=world.trial, trajectory=marked, index=index, kind=Marker.Kind.TEST, label=label)
    address = f"{world.trial.get_absolute_url()}?trajectory={marked.pk}&show=tests"
    assert step_numbers(html_of(pages.get(address))) == [4]
    pages.force_login(world.viewer)
    assert step_numbers(html_of(pages.get(address))) == [2, 4]


def test_a_page_costs_the_same_number_of_queries_whatever_its_length(
    pages: Client, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n_steps, place in ((2, ""), (60, ""), (200, "at=100"), (200, "at=end")):
        trajectory = make_trajectory(world.trial, [make_shell_step("ls", "x")] * n_steps)
        # Session, user, trial, two neighbours, trajectories; steps above and below, times, what is around.
        with django_assert_max_num_queries(14):
            pages.get(f"{world.trial.get_absolute_url()}?trajectory={trajectory.pk}&{place}")


def test_an_empty_trajectory_says_so(pages: Client, world: World) -> None:
    empty = make_trajectory(world.trial, [])
    Trial.objects.update(exception_type="")
    assert "no steps here" in html_of(pages.get(f"{world.trial.get_absolute_url()}?trajectory={empty.pk}&at=5"))
