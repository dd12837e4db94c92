"""A step as the card that the trajectory shows: who speaks, what is said, what is called, and what is to be noted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runs.indexing.payload import StepPayload, unpack
from runs.models import Step
from viewer.cards.calls import call_card
from viewer.cards.links import Subagents, images_of
from viewer.cards.model import (
    ALONE,
    IN_WINDOW,
    TIGHT,
    Block,
    CallCard,
    Fact,
    Image,
    Limits,
    Subagent,
    output_block,
    prose_block,
)
from viewer.cards.remarks import Remark, badges_of, kind_of, remarks_of
from viewer.cards.results import results_of

# A window of steps holds no step of more HTML than this, and a page of one step shows no more of it.
MAX_BYTES_IN_WINDOW = 40_000
ALONE_CHARS = 250_000
# A message of more characters is closed at first where it is not what people came for.
MAX_UNFOLDED_CHARS = 600


@dataclass(frozen=True, slots=True)
class StepCard:
    """One step, ready to be shown. `elapsed_sec` counts from the step before it."""

    step: Step
    number: int
    kind: str
    speaker: str
    elapsed_sec: float | None
    badges: tuple[Fact, ...]
    remarks: tuple[Remark, ...]
    message: Block | None
    reasoning: Block | None
    calls: tuple[CallCard, ...]
    n_left_out: int
    observations: tuple[Block, ...]
    answers_earlier_calls: bool
    images: tuple[Image, ...]
    subagents: tuple[Subagent, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the step has nothing to show: some writers keep such steps for their metrics."""
        shown = (self.message, self.reasoning, self.calls, self.observations, self.images, self.subagents, self.remarks)
        return not any(shown)

    @property
    def kinds(self) -> str:
        """The different kinds of its calls, for styles and filters."""
        return " ".join(dict.fromkeys(call.kind for call in self.calls))

    @property
    def n_bytes(self) -> int:
        """About how much HTML it makes."""
        blocks = [self.message, self.reasoning, *self.observations, *(remark.body for remark in self.remarks)]
        rest = 300 * (len(self.images) + len(self.subagents)) + 1_000
        return sum(block.n_bytes for block in blocks if block) + sum(call.n_bytes for call in self.calls) + rest


def card_of(step: Step, *, before: datetime | None, subagents: Subagents, is_alone: bool = False) -> StepCard:
    """The card of one step: with more of it when it is alone on its page, with less when it has very many parts."""
    payload = unpack(bytes(step.payload))
    limits, most = (ALONE, ALONE_CHARS) if is_alone else (IN_WINDOW, MAX_BYTES_IN_WINDOW)
    card = _card(step, payload, before, subagents, limits)
    return card if card.n_bytes <= most else _card(step, payload, before, subagents, TIGHT)


def _card(step: Step, payload: StepPayload, before: datetime | None, subagents: Subagents, limits: Limits) -> StepCard:
    extra = payload.raw.get("extra")
    extra = extra if isinstance(extra, dict) else {}
    kind = kind_of(step, extra)
    most = limits.n_parts
    return StepCard(
        step=step,
        number=step.index + 1,
        kind=kind,
        speaker=_speaker(step, kind),
        elapsed_sec=_elapsed_sec(before, step.at),
        badges=badges_of(extra),
        remarks=remarks_of(extra, limits),
        message=_message(step, payload, kind, limits),
        reasoning=prose_block(payload.reasoning, limits) if payload.reasoning.strip() else None,
        calls=_calls(step, payload, subagents, limits),
        n_left_out=_left_out(payload, most),
        observations=tuple(output_block(text, limits) for text in payload.observations[:most] if text),
        answers_earlier_calls=bool(payload.answers),
        images=images_of(payload.images, step, most),
        subagents=subagents.named([*payload.subagent_ids, *payload.subagent_paths]),
    )


def _calls(step: Step, payload: StepPayload, subagents: Subagents, limits: Limits) -> tuple[CallCard, ...]:
    is_awaited = not payload.observations and step.source == Step.Source.AGENT
    most = limits.n_parts
    results = results_of(payload)
    return tuple(
        call_card(
            call,
            result,
            limits,
            images=images_of(call.images, step, most),
            subagents=subagents.named([*call.subagent_ids, *call.subagent_paths]),
            is_awaited=is_awaited,
        )
        for call, result in zip(payload.calls[:most], results, strict=False)
    )


def _message(step: Step, payload: StepPayload, kind: str, limits: Limits) -> Block | None:
    """The message as prose; what nobody said to the agent in person is closed at first when it is long."""
    text = payload.message
    if not text.strip():
        return None
    if kind == "error":
        return output_block(text, limits)
    is_background = step.source == Step.Source.SYSTEM or kind in ("compaction", "harness") or step.is_copied_context
    is_folded = is_background and len(text) > MAX_UNFOLDED_CHARS
    words = " ".join(text[:400].split())
    label = f"{words[:100]}…" if len(words) > 100 else words
    return prose_block(text, limits, label=label if is_folded else "", is_folded=is_folded)


def _left_out(payload: StepPayload, n_parts: int) -> int:
    """How many calls, observations and images are not shown."""
    return sum(max(0, len(parts) - n_parts) for parts in (payload.calls, payload.observations, payload.images))


def _elapsed_sec(before: datetime | None, at: datetime | None) -> float | None:
    """Seconds between two steps, None where a writer gave both the same time or none."""
    elapsed = (at - before).total_seconds() if at and before else 0.0
    return elapsed if elapsed >= 0.05 else None


_SPEAKERS: Mapping[str, str] = {"compaction": "Context compacted", "error": "Error", "harness": "Harness"}


def _speaker(step: Step, kind: str) -> str:
    if kind in _SPEAKERS and not (kind == "error" and step.source != Step.Source.SYSTEM):
        return _SPEAKERS[kind]
    if step.source == Step.Source.USER and step.index == 0:
        return "Task"
    return Step.Source(step.source).label.capitalize() if step.source in Step.Source.values else "Step"
