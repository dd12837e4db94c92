"""Claude Code's logs against what the server answered: texts, calls, tokens, cost."""

import json
from typing import Any

import pytest

from runs.agents.claude_code.converter import ClaudeCodeConverter
from runs.agents.conversion.base import ConversionContext
from runs.formats.trajectory import Step, Trajectory, dump_trajectory
from tests.runs.agents.claude_code.recorded import ANSWERED, FOLDERS, GOLDEN, STDOUT, told, without
from tests.support.conversion import (
    Figures,
    Said,
    converted,
    fed,
    findings_of,
    is_whole_call,
    problems_of,
    said_in,
    totals_in,
    totals_of,
)


def _subagent_said(trajectory: Trajectory) -> list[Said]:
    return [said for subagent in trajectory.subagent_trajectories or () for said in said_in(subagent)]


def _cut_steps(trajectory: Trajectory) -> list[Step]:
    return [step for step in trajectory.steps if step.source == "agent" and not is_whole_call(step)]


def _prompt_tokens(steps: list[Step]) -> int:
    return sum((step.metrics.prompt_tokens or 0) for step in steps if step.metrics)


@pytest.mark.parametrize("scenario", ANSWERED)
def test_every_call_of_the_model_is_one_step_and_equals_what_the_server_gave(scenario: str) -> None:
    golden = GOLDEN[scenario]
    trajectory = converted(ClaudeCodeConverter(), golden.files)
    assert said_in(trajectory) == told(golden, "main")
    assert sorted(_subagent_said(trajectory), key=repr) == sorted(told(golden, "sub"), key=repr)


@pytest.mark.parametrize("scenario", ANSWERED)
def test_the_totals_are_those_of_the_server(scenario: str) -> None:
    golden = GOLDEN[scenario]
    trajectory = converted(ClaudeCodeConverter(), golden.files)
    # The input of a stream that broke off was sent and is billed, though the server counts whole calls alone.
    cut = _cut_steps(trajectory)
    totals = totals_in(trajectory)
    assert totals.completion == golden.figures("main").completion
    assert totals.reasoning == golden.figures("main").reasoning
    assert totals.prompt - _prompt_tokens(cut) == golden.figures("main").prompt
    assert len(cut) == (scenario in ("retry", "stall"))


@pytest.mark.parametrize("scenario", sorted(set(ANSWERED) - {"retry", "stall"}))
def test_calls_that_left_no_record_are_in_the_sum_of_all(scenario: str) -> None:
    golden = GOLDEN[scenario]
    converter = ClaudeCodeConverter()
    converted(converter, golden.files)
    assert totals_of(converter) == golden.figures("main", "sub", "compact", "side")


def test_a_broken_stream_counts_with_what_the_cli_says_it_used() -> None:
    converter = ClaudeCodeConverter()
    trajectory = converted(converter, GOLDEN["retry"].files)
    assert totals_of(converter) == Figures(prompt=29449, cached=22923, cache_write=4807, completion=477, reasoning=132)
    (cut,) = _cut_steps(trajectory)
    assert cut.reasoning_content == "Everything works, so I can report."
    assert cut.metrics
    assert cut.metrics.completion_tokens is None


@pytest.mark.parametrize("scenario", sorted(FOLDERS))
def test_the_document_is_valid_and_nothing_in_it_cannot_be_right(scenario: str) -> None:
    trajectory = converted(ClaudeCodeConverter(), GOLDEN[scenario].files)
    assert problems_of(trajectory) == []
    assert findings_of(trajectory) == []


@pytest.mark.parametrize("scenario", sorted(FOLDERS))
def test_the_instruction_is_the_first_step_and_there_once(scenario: str) -> None:
    context = ConversionContext(instruction="Never to be seen: the log has the prompt.")
    trajectory = converted(ClaudeCodeConverter(context), GOLDEN[scenario].files)
    first, *others = trajectory.steps
    assert first.source == "user"
    assert str(first.message).startswith(("The file /app/calculator.py has a bug", "Fix the calculator."))
    assert all(step.message != first.message for step in others)
    assert "Never to be seen" not in dump_trajectory(trajectory)


def test_the_cost_is_the_clis_own_and_of_several_results_the_last_one_counts_all() -> None:
    converter = ClaudeCodeConverter()
    trajectory = converted(converter, GOLDEN["background-agents"].files)
    assert GOLDEN["background-agents"].files[STDOUT].count(b'"type":"result"') == 3
    assert trajectory.final_metrics
    assert trajectory.final_metrics.total_cost_usd == pytest.approx(0.06266525)
    assert (trajectory.final_metrics.extra or {})["cost_source"] == "claude-code total_cost_usd"
    without_stdout = ClaudeCodeConverter()
    converted(without_stdout, without(GOLDEN["background-agents"], STDOUT))
    assert without_stdout.totals() == converter.totals()


def _result(cost_usd: float, output: int, basis: str = "list") -> bytes:
    models = {"m": {"inputTokens": 10, "outputTokens": output, "costUSD": cost_usd, "costBasis": basis}}
    record = {"type": "result", "subtype": "success", "total_cost_usd": cost_usd, "modelUsage": models}
    return json.dumps(record).encode() + b"\n"


@pytest.mark.parametrize(
    ("results", "cost_usd", "output"),
    [
        ([_result(1.0, 5), _result(1.5, 9)], 1.5, 9),
        ([_result(1.5, 9), _result(1.0, 5)], 2.5, 14),
        ([_result(1.0, 5), _result(1.5, 9), _result(0.25, 2), _result(0.5, 3)], 2.0, 12),
    ],
    ids=["counted on", "counted anew", "both"],
)
def test_results_that_count_anew_are_added(results: list[bytes], cost_usd: float, output: int) -> None:
    converter = ClaudeCodeConverter()
    fed(converter, [(STDOUT, result) for result in results])
    assert converter.totals().cost_usd == pytest.approx(cost_usd)
    assert converter.totals().output_tokens == output


def test_a_version_that_only_sums_the_main_conversation_still_gives_its_output() -> None:
    record = {"type": "result", "subtype": "success", "usage": {"input_tokens": 3, "output_tokens": 7}}
    converter = ClaudeCodeConverter()
    fed(converter, [(STDOUT, json.dumps(record).encode())])
    assert (converter.totals().input_tokens, converter.totals().output_tokens) == (3, 7)


def test_the_price_of_a_model_that_the_cli_does_not_know_is_no_cost() -> None:
    converter = ClaudeCodeConverter()
    fed(converter, [(STDOUT, _result(1.0, 5, basis="unknown"))])
    assert converter.totals().cost_usd is None
    assert converter.totals().output_tokens == 5


@pytest.mark.parametrize("scenario", ANSWERED)
def test_stdout_alone_gives_the_conversation_and_the_totals(scenario: str) -> None:
    golden = GOLDEN[scenario]
    converter = ClaudeCodeConverter(ConversionContext(instruction="Do it."))
    trajectory = converted(converter, {STDOUT: golden.files[STDOUT]})
    assert any("no session file" in warning for warning in converter.warnings)
    assert trajectory.steps[0].message == "Do it."
    assert [_words(said) for said in said_in(trajectory)] == [_words(said) for said in told(golden, "main")]
    assert problems_of(trajectory) == []
    if scenario not in ("retry", "stall"):
        assert totals_of(converter) == golden.figures("main", "sub", "compact", "side")


def _words(said: Said) -> tuple[str, str, Any]:
    return said.text, said.reasoning, said.calls
