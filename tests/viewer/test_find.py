"""Search in one trajectory: all that a reader sees of a step is found, and nothing that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from runs.models import Step, Trajectory
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_world
from viewer.find import SNIPPETS, Found, find, query_of, snippets

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
    return find(query_of(query), trajectory.steps.all(), (trajectory.pk, query)).numbers


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


def test_walking_goes_round() -> None:
    found = Found("x", (3, 8, 20))
    assert (found.number, found.previous, found.following) == (3, 20, 8)
    assert found.at(9).number == 20
    assert found.at(21).number == 3
    assert (found.at(20).previous, found.at(20).following, found.at(20).place) == (8, 3, 3)
    many = Found("x", tuple(range(1, 200))).at(100)
    assert many.number in many.around()
    assert len(many.around()) == SNIPPETS


def test_a_snippet_shows_the_words_where_they_are(steps: Trajectory) -> None:
    found = find("the needle", steps.steps.all(), ("snippet", steps.pk))
    (snippet,) = snippets(found, steps.steps.all())
    assert (snippet.number, snippet.before, snippet.match, snippet.after) == (2, "a.py: ", "the NEEDLE", " is here")


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


def test_the_same_words_are_not_looked_for_twice(
    steps: Trajectory, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    find("needle", steps.steps.all(), ("twice", steps.pk))
    with django_assert_num_queries(0):
        assert find("needle", steps.steps.all(), ("twice", steps.pk)).numbers == (2,)


def test_what_is_typed_is_brought_into_bounds() -> None:
    assert query_of(" a\0b\n c ") == "a b c"
    assert len(query_of("x" * 5_000)) == 200
