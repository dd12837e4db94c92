from typing import Any

import pytest

from runs.models import Step
from tests.support.factories import make_shell_step, make_step, make_trajectory
from viewer.steps import IN_WINDOW, WINDOW_CHARS, StepCard, card_of, cards_of

pytestmark = pytest.mark.django_db


def cards(*steps: dict[str, Any]) -> list[StepCard]:
    return cards_of(Step.objects.filter(trajectory=make_trajectory(steps=list(steps))), before=None, subagents={})


def call_step(name: str, arguments: Any) -> dict[str, Any]:
    return make_step(tool_calls=[{"tool_call_id": "c", "function_name": name, "arguments": arguments}])


def test_a_shell_call_is_a_command_with_its_output() -> None:
    call = cards(make_shell_step("ls -la", "total 0"))[0].calls[0]
    assert call.command is not None
    assert call.result is not None
    assert (call.name, call.command.head, call.result.head, call.arguments) == ("bash", "ls -la", "total 0", [])


def test_a_command_given_as_words_is_one_line() -> None:
    command = cards(call_step("shell", {"command": ["bash", "-lc", "ls"], "timeout": 5}))[0].calls[0].command
    assert command is not None
    assert command.head == "bash -lc ls"


def test_an_editors_command_is_a_verb_and_its_path_the_title() -> None:
    call = cards(call_step("str_replace_editor", {"command": "create", "path": "/app/x", "file_text": "1\n2"}))[
        0
    ].calls[0]
    assert (call.command, call.title) == (None, "/app/x")
    assert [(argument.name, argument.is_block) for argument in call.arguments] == [
        ("command", False),
        ("file_text", True),
    ]


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    call = cards(call_step("odd", '{"torn": '))[0].calls[0]
    assert [argument.text.head for argument in call.arguments] == ['{"torn": ']


def test_other_values_are_tidy_json() -> None:
    call = cards(call_step("todo", {"items": [{"text": "é"}]}))[0].calls[0]
    assert call.arguments[0].text.head == '[\n  {\n    "text": "é"\n  }\n]'


def test_a_window_ends_early_when_its_steps_are_long() -> None:
    shown = cards(*[make_step(message="x" * 10_000)] * 20)
    assert 1 < len(shown) < 20
    assert sum(card.shown_chars for card in shown) <= WINDOW_CHARS


def test_one_enormous_step_still_makes_a_window() -> None:
    shown = cards(*[call_step("wide", {f"k{n}": "v" * 3000 for n in range(40)})] * 2)
    assert len(shown) >= 1
    assert shown[0].shown_chars < WINDOW_CHARS


def test_the_first_user_message_is_the_task() -> None:
    speakers = [card.speaker for card in cards(*(make_step(source=source, message="x") for source in ("user", "user")))]
    assert speakers == ["Task", "User"]


def test_elapsed_time_counts_from_the_step_before() -> None:
    assert [card.elapsed_sec for card in cards(make_step(message="a"), make_step(message="b"))] == [None, 1.0]


def test_alone_a_step_shows_more() -> None:
    step = make_trajectory(steps=[make_shell_step("cat", "x" * 50_000)]).steps.get()
    alone = card_of(step, before=None, subagents={}, is_alone=True).calls[0].result
    within = card_of(step, before=None, subagents={}).calls[0].result
    assert alone is not None
    assert within is not None
    assert alone.missing_chars == 0
    assert within.missing_chars == 50_000 - IN_WINDOW.output_chars
