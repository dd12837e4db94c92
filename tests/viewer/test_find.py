"""Search in a trial: all that a reader sees of a step is found, in every trajectory, and nothing that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from runs.models import Step, Trajectory
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_world
from viewer.find import SNIPPETS, Found, Hit, find, query_of, snippets

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def steps(world: World) -> Trajectory:
    call = {"tool_call_id": "id-77", "function_name": "Grep", "arguments": {"raw": {"in": ["Bäume"]}, "n": 4711}}
    return make_trajectory(
        world.trial,
        [
            make_step(message='Say "hello"\nto C:\\temp', source="user"),
            make_shell_step("grep -r Needle .", "a.py: the NEEDLE is here", reasoning_content="Think first."),
            make_step(tool_calls=[call], extra={"secret_of_raw": "hidden"}),
            make_step(message="done", model_name="only-in-raw-7"),
        ],
    )


def numbers(trajectory: Trajectory, query: str) -> tuple[int, ...]:
    found = find(query_of(query), trajectory.steps.all(), [trajectory.pk], (trajectory.pk, query))
    return tuple(hit.number for hit in found.hits)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("needle", (2,)),
        ("NEEDLE", (2,)),
        ("think FIRST", (2,)),
        ("grep", (2, 3)),
        ("bäume", (3,)),
        ("BÄUME", (3,)),
        ("4711", (3,)),
        ('"hello"', (1,)),
        ("C:\\temp", (1,)),
        ("done", (4,)),
        ("raw", (3,)),  # the name of an argument; every payload has the word
        ("message", ()),
        ("is_error", ()),
        ("null", ()),
        ("only-in-raw-7", ()),
        ("nowhere", ()),
    ],
)
def test_what_a_reader_sees_is_found_and_nothing_else(steps: Trajectory, query: str, expected: tuple[int, ...]) -> None:
    assert numbers(steps, query) == expected


def test_a_damaged_step_is_passed_over(steps: Trajectory) -> None:
    Step.objects.filter(trajectory=steps, index=0).update(payload=b"\x28\xb5\x2f\xfdbroken")
    assert numbers(steps, "done") == (4,)


def test_walking_goes_round_all_trajectories() -> None:
    found = Found("x", (Hit(0, 3, 7), Hit(0, 8, 7), Hit(2, 5, 9)))
    assert (found.hit.number, found.previous.number, found.following.number) == (3, 5, 8)
    assert found.at(0, 9).hit == Hit(2, 5, 9)
    assert found.at(1, 1).hit == Hit(2, 5, 9)
    assert found.at(2, 6).hit == Hit(0, 3, 7)
    assert (found.at(2, 5).previous.number, found.at(2, 5).following.number, found.at(2, 5).place) == (8, 3, 3)
    assert [(hit.number, n_hits) for hit, n_hits in found.counts()] == [(3, 2), (5, 1)]
    many = Found("x", tuple(Hit(0, number, 1) for number in range(1, 200))).at(0, 100)
    assert many.hit in many.around()
    assert len(many.around()) == SNIPPETS


def test_a_snippet_shows_the_words_where_they_are(steps: Trajectory) -> None:
    found = find("the needle", steps.steps.all(), [steps.pk], ("snippet", steps.pk))
    (snippet,) = snippets(found, steps.steps.all())
    assert (snippet.hit.number, snippet.before, snippet.match, snippet.after) == (2, "a.py: ", "the NEEDLE", " is here")


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.content.decode()))


def test_the_page_leads_from_match_to_match(client: Client, world: World) -> None:
    client.force_login(world.owner)
    messages = ["needle <b>one</b>" if n in (10, 70, 110) else f"message {n}" for n in range(120)]
    long = make_trajectory(world.trial, [make_step(message=text) for text in messages])
    page = world.trial.get_absolute_url()
    answer = client.get(page, {"trajectory": str(long.pk), "q": " needle "})
    assert answer.status_code == 302
    assert answer["Location"].endswith("&at=11#step-11")
    shown = client.get(answer["Location"])
    assert "1 of 3" in text_of(shown)
    assert "<b>one</b>" not in shown.content.decode()
    following = re.search(r'href="([^"]+)#step-71"\s+aria-label="Next match"', shown.content.decode())
    assert following
    shown = client.get(page + following[1].replace("&amp;", "&"))
    assert "2 of 3" in text_of(shown)
    assert 'id="step-71"' in shown.content.decode()
    # From the step in view, which a script tells, to the next one that has the words.
    answer = client.get(page, {"trajectory": str(long.pk), "q": "needle", "at": "72"})
    assert answer["Location"].endswith("at=111#step-111")
    assert "in no step" in text_of(client.get(page, {"trajectory": str(long.pk), "q": "nowhere"}))


def address_of(html: str, label: str) -> str:
    found = re.search(rf'href="([^"#]+)#step-\d+"\s+aria-label="{label}"', html)
    assert found
    return found[1].replace("&amp;", "&")


def test_the_search_goes_on_in_the_other_trajectories(
    client: Client, world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(world.owner)
    parent = make_trajectory(world.trial, [make_step(message=f"zebra {n}") for n in range(2)], task_step="one")
    child = make_trajectory(
        world.trial, [make_step(message="m"), make_step(message="<i>zebra</i>")], kind="subagent", agent_name="explorer"
    )
    page = world.trial.get_absolute_url()
    answer = client.get(page, {"trajectory": str(parent.pk), "q": "zebra", "at": "2"})
    html = answer.content.decode()
    assert "2 of 3" in text_of(answer)
    assert "in 2 trajectories" in text_of(answer)
    assert re.findall(r">(\S+) <b>(\d)</b></a>", html) == [("one", "2"), ("explorer", "1")]
    answer = client.get(page + address_of(html, "Next match"))
    assert "3 of 3" in text_of(answer)
    html = answer.content.decode()
    assert f'data-here="?trajectory={child.pk}"' in html
    assert '<article class="step" id="step-2"' in html
    assert "&lt;i&gt;<mark>zebra</mark>" in html
    # From the last one on to the first; what is before the reader's place is found, too.
    assert address_of(html, "Next match").startswith(f"?trajectory={parent.pk}&")
    answer = client.get(page, {"trajectory": str(world.trajectory.pk), "q": "zebra"})
    assert answer["Location"].endswith(f"?trajectory={parent.pk}&q=zebra&at=1#step-1")
    with CaptureQueriesContext(connection) as few:
        client.get(page, {"trajectory": str(parent.pk), "q": "zeb", "at": "1"})
    for _ in range(12):
        make_trajectory(world.trial, [make_step(message="zebra")] * 4, kind="subagent")
    with django_assert_num_queries(len(few)):
        client.get(page, {"trajectory": str(parent.pk), "q": "zebr", "at": "1"})


def test_the_same_words_are_not_looked_for_twice(
    steps: Trajectory, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    find("needle", steps.steps.all(), [steps.pk], ("twice", steps.pk))
    with django_assert_num_queries(0):
        assert find("needle", steps.steps.all(), [steps.pk], ("twice", steps.pk)).hits == (Hit(0, 2, steps.pk),)


def test_what_is_typed_is_brought_into_bounds() -> None:
    assert query_of(" a\0b\n c ") == "a b c"
    assert len(query_of("x" * 5_000)) == 200
