"""One agent of a Copilot CLI session: its thread, and which of its steps came of which turn."""

from dataclasses import dataclass, field

from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import mapping, text_of

type Turn = tuple[str, str, str]
"""The agent ("" for the main one), its interaction and the number of its turn."""


def turn_of(event: Record) -> Turn:
    """Which turn an `assistant.turn_start` begins."""
    data = mapping(event.get("data"))
    return text_of(event.get("agentId")), text_of(data.get("interactionId")), text_of(data.get("turnId"))


@dataclass(slots=True)
class Conversation:
    """One agent's thread, and what the next events of it need."""

    thread: Thread
    model: str | None = None
    effort: str | None = None
    turns: dict[Turn, int] = field(default_factory=dict)
    """How many steps there were when a turn began."""
    calls: dict[str, StepDraft] = field(default_factory=dict)
    """The step of an API call, by the provider's identity of it."""
    unclaimed: StepDraft | None = None
    """The step of a call that was counted, and whose message comes next."""
    is_final: bool = False
    """Whether the last message asks for nothing more."""

    def step_of_turn(self, turn: Turn) -> StepDraft | None:
        """The first step that came of a turn; a compaction in between is none of it."""
        if turn not in self.turns:
            return None
        steps = self.thread.steps[self.turns[turn] :]
        return next((step for step in steps if _is_of_turn(step)), None)


def _is_of_turn(step: StepDraft) -> bool:
    if step.source == "agent":
        return not step.is_compaction
    return step.source == "system" and step.extra.get("is_error") is True
