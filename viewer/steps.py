"""Steps as the cards that the trajectory shows: what is whole, what is cut, and in which words. No HTML here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runs.indexing.payload import CallPayload, StepPayload, unpack
from runs.models import Step, Trajectory
from viewer.rendering.cutting import Cut, cut


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each part of a step is shown."""

    message_chars: int
    output_chars: int
    output_lines: int
    n_parts: int  # calls, arguments of a call, observations, images


TIGHT = Limits(message_chars=4_000, output_chars=600, output_lines=20, n_parts=10)
IN_WINDOW = Limits(message_chars=12_000, output_chars=3_000, output_lines=40, n_parts=40)
ALONE = Limits(message_chars=200_000, output_chars=200_000, output_lines=4_000, n_parts=400)
# A window of steps ends early once it holds this much text, so that the first one is small whatever the steps hold.
WINDOW_CHARS = 40_000
# A page of one step shows no more than this of it; a download has the rest.
ALONE_CHARS = 250_000

_SHELL = ("command", "cmd", "script")
_NAMING = ("file_path", "path", "filename", "pattern", "query", "url", "description", "prompt")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call as text; a block is shown under its name, not beside it."""

    name: str
    text: Cut

    @property
    def is_block(self) -> bool:
        """Whether it needs lines of its own."""
        return "\n" in self.text.head or len(self.text.head) > 80


@dataclass(frozen=True, slots=True)
class Subagent:
    """A delegated run as a step names it, and the trajectory that it is, where the trial has one."""

    name: str
    trajectory_pk: int | None


# Trajectories of the trial by what steps call them: trajectory_id or path.
type Subagents = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CallCard:
    """One tool call and what came back."""

    name: str
    title: str
    command: Cut | None
    arguments: list[Argument]
    result: Cut | None
    is_error: bool
    images: list[str]
    subagents: list[Subagent]

    @property
    def is_long_command(self) -> bool:
        """Whether the command needs a block of its own, under the name of the tool."""
        return self.command is not None and ("\n" in self.command.head or len(self.command.head) > 110)


@dataclass(frozen=True, slots=True)
class StepCard:
    """One step, ready to be shown. `elapsed_sec` counts from the step before it."""

    step: Step
    number: int
    speaker: str
    elapsed_sec: float | None
    message: Cut
    reasoning: Cut | None
    calls: list[CallCard]
    n_left_out: int
    observations: list[Cut]
    answers_earlier_calls: bool
    images: list[str]
    subagents: list[Subagent]
    shown_chars: int

    @property
    def is_empty(self) -> bool:
        """Whether the step has nothing to show: some writers keep such steps for their metrics."""
        return not (
            self.message.head or self.reasoning or self.calls or self.observations or self.images or self.subagents
        )

    @property
    def is_folded(self) -> bool:
        """Whether the message is closed at first: long system prompts are seldom what people came for."""
        return self.step.source == Step.Source.SYSTEM and len(self.message.head) > 600


def cards_of(steps: Iterable[Step], *, before: datetime | None, subagents: Subagents) -> list[StepCard]:
    """Cards of consecutive steps, as many as fit WINDOW_CHARS (at least one); `before` is when the step ahead was."""
    cards: list[StepCard] = []
    room = WINDOW_CHARS
    for step in steps:
        card = card_of(step, before=before, subagents=subagents)
        room -= card.shown_chars
        if cards and room < 0:
            break
        cards.append(card)
        before = step.at or before
    return cards


def card_of(step: Step, *, before: datetime | None, subagents: Subagents, is_alone: bool = False) -> StepCard:
    """The card of one step: with more of it when it is alone on its page, with less when it has very many parts."""
    payload = unpack(bytes(step.payload))
    limits, most = (ALONE, ALONE_CHARS) if is_alone else (IN_WINDOW, WINDOW_CHARS)
    card = _card(step, payload, before, subagents, limits)
    return card if card.shown_chars <= most else _card(step, payload, before, subagents, TIGHT)


def _card(step: Step, payload: StepPayload, before: datetime | None, subagents: Subagents, limits: Limits) -> StepCard:
    message = cut(payload.message, max_chars=limits.message_chars)
    reasoning = cut(payload.reasoning, max_chars=limits.message_chars) if payload.reasoning else None
    calls = [_call(call, limits, subagents) for call in payload.calls[: limits.n_parts]]
    observations = [
        cut(text, max_chars=limits.output_chars, max_lines=limits.output_lines)
        for text in payload.observations[: limits.n_parts]
    ]
    return StepCard(
        step=step,
        number=step.index + 1,
        speaker=_speaker(step),
        elapsed_sec=_elapsed_sec(before, step.at),
        message=message,
        reasoning=reasoning,
        calls=calls,
        n_left_out=_left_out(payload, limits.n_parts),
        observations=observations,
        answers_earlier_calls=bool(payload.answers),
        images=payload.images[: limits.n_parts],
        subagents=_named([*payload.subagent_ids, *payload.subagent_paths], subagents),
        shown_chars=_chars([message, reasoning, *observations]) + sum(_call_chars(call) for call in calls) + 600,
    )


def _left_out(payload: StepPayload, n_parts: int) -> int:
    """How many calls, observations and images are not shown."""
    return sum(max(0, len(parts) - n_parts) for parts in (payload.calls, payload.observations, payload.images))


def subagents_of(trajectories: Iterable[Trajectory]) -> Subagents:
    """How steps may name the trajectories of their trial."""
    found: dict[str, int] = {}
    for trajectory in trajectories:
        for name in (
            trajectory.trajectory_id,
            trajectory.fragment,
            trajectory.path,
            trajectory.path.rpartition("/")[2],
        ):
            if name:
                found.setdefault(name, trajectory.pk)
    return found


def _named(names: Sequence[str], subagents: Subagents) -> list[Subagent]:
    """Each name with its trajectory; a run that is named by its id and by its path is one run."""
    found: dict[int | str, Subagent] = {}
    for name in names[:50]:
        pk = subagents.get(name) or subagents.get(name.rpartition("/")[2])
        found.setdefault(pk or name, Subagent(name, pk))
    return list(found.values())


def _elapsed_sec(before: datetime | None, at: datetime | None) -> float | None:
    """Seconds between two steps, None where a writer gave both the same time or none."""
    elapsed = (at - before).total_seconds() if at and before else 0.0
    return elapsed if elapsed >= 0.05 else None


def _speaker(step: Step) -> str:
    if step.source == Step.Source.USER and step.index == 0:
        return "Task"
    return Step.Source(step.source).label.capitalize() if step.source in Step.Source.values else "Step"


def _chars(cuts: Iterable[Cut | None]) -> int:
    return sum(len(part.head) + len(part.tail) for part in cuts if part)


def _call_chars(call: CallCard) -> int:
    return _chars([call.command, call.result, *(argument.text for argument in call.arguments)]) + 400


def _call(call: CallPayload, limits: Limits, subagents: Subagents) -> CallCard:
    arguments = dict(call.arguments) if isinstance(call.arguments, dict) else {}
    command = _command(arguments)
    title, named = ("", "") if command is not None else _title(arguments)
    if named:
        arguments.pop(named)
    shown = [
        Argument(str(name)[:200], cut(_text(value), max_chars=limits.output_chars, max_lines=limits.output_lines))
        for name, value in list(arguments.items())[: limits.n_parts]
    ]
    if len(arguments) > limits.n_parts:
        shown.append(Argument("…", Cut(f"{len(arguments) - limits.n_parts} more arguments")))
    if isinstance(call.arguments, str) and call.arguments:
        shown.append(Argument("", cut(call.arguments, max_chars=limits.output_chars)))
    return CallCard(
        name=call.name[:200] or "tool",
        title=title,
        command=cut(command, max_chars=limits.output_chars, max_lines=limits.output_lines) if command else None,
        arguments=shown,
        result=cut(call.result, max_chars=limits.output_chars, max_lines=limits.output_lines) if call.result else None,
        is_error=bool(call.is_error),
        images=list(call.images[: limits.n_parts]),
        subagents=_named([*call.subagent_ids, *call.subagent_paths], subagents),
    )


def _command(arguments: dict[str, Any]) -> str | None:
    """What a shell tool was told to run, taken out of its arguments. An editor's `command` beside a path is a verb."""
    if "path" in arguments or "file_path" in arguments:
        return None
    for name in _SHELL:
        value = arguments.get(name)
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            arguments.pop(name)
            return " ".join(value)
        if isinstance(value, str) and value:
            arguments.pop(name)
            return value
    return None


def _title(arguments: dict[str, Any]) -> tuple[str, str]:
    """The one short argument that says what a call is about, and its name."""
    for name in _NAMING:
        value = arguments.get(name)
        if isinstance(value, str) and value and "\n" not in value and len(value) <= 200:
            return value, name
    return "", ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
