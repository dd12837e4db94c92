"""Cards of steps that are given as the file has them, without a database; and their HTML."""

from typing import Any

from django.template.loader import render_to_string

from runs.formats.trajectory_reader import read_trajectory
from runs.indexing.step_rows import COLUMNS, step_row
from runs.models import Job, Step, Trajectory, Trial
from viewer.cards import StepCard, card_of, subagents_of
from viewer.cards.model import CallCard


def steps_of(*steps: dict[str, Any], trial: Trial | None = None) -> list[Step]:
    """Steps that were read and packed as the index does it, and never saved."""
    trial = trial or Trial(pk=1, name="t", job=Job(pk=1, name="j", directory="/nowhere"))
    trajectory = Trajectory(pk=1, trial=trial, path="agent/trajectory.json")
    numbered = [{"step_id": n, **step} for n, step in enumerate(steps, start=1)]
    agent = {"name": "a", "version": "1"}
    read = read_trajectory({"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": numbered})
    rows = [step_row(step) for step in read.steps]
    return [Step(trajectory=trajectory, trial=trial, **{name: getattr(row, name) for name in COLUMNS}) for row in rows]


def card(step: dict[str, Any], *, is_alone: bool = False) -> StepCard:
    """The card of a step."""
    return card_of(steps_of(step)[0], before=None, subagents=subagents_of([]), is_alone=is_alone)


def call_step(name: str, arguments: Any, result: Any = None, **extra: Any) -> dict[str, Any]:
    """A step of one call; `extra` is what its file says of the result."""
    results = [] if result is None else [{"source_call_id": "c", "content": result, "extra": extra}]
    call = {"tool_call_id": "c", "function_name": name, "arguments": arguments}
    return {"source": "agent", "message": "", "tool_calls": [call], "observation": {"results": results}}


def call(name: str, arguments: Any, result: Any = None, **extra: Any) -> CallCard:
    """The card of one call."""
    return card(call_step(name, arguments, result, **extra)).calls[0]


def facts(made: CallCard) -> list[str]:
    """What stands at the end of a call's first line."""
    return [fact.text for fact in made.facts]


def html_of(step: Step) -> str:
    """The step as pages have it."""
    made = card_of(step, before=None, subagents=subagents_of([]))
    context = {"card": made, "trial": step.trial, "chosen": step.trajectory}
    return render_to_string("viewer/_step.html", context)
