"""The turns of an OpenCode session, as its stdout tells them and as an export has them, joined into one list.

A turn is what becomes a step: one call of the model, one message of a user, one error. What they mean is `steps`'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import mapping, mappings, text_of

STEP_START = "step-start"
STEP_FINISH = "step-finish"
PART_ID = "prt_"

Kind = Literal["agent", "user", "error"]


@dataclass(slots=True)
class Turn:
    """`key` is the same wherever the turn is told: its message and its number in it; None for a printed error.

    `info` is the message's head, which only exports have. `compaction` is what is known of the compaction that this
    call made, None if it made none.
    """

    key: str | None
    kind: Kind
    parts: dict[str, Record] = field(default_factory=dict)
    info: Record = field(default_factory=dict)
    error: Record = field(default_factory=dict)
    printed_at_ms: Any = None
    compaction: dict[str, Any] | None = None
    is_last_of_message: bool = True

    def ordered(self) -> list[tuple[str, Record]]:
        """The parts as the model gave them: their ids count up, while stdout has them as they were finished."""
        parts = list(self.parts.items())
        return sorted(parts, key=lambda item: item[0]) if all(key.startswith(PART_ID) for key in self.parts) else parts


class PrintedSession:
    """The turns of one session on stdout, in the order in which they were begun."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.first_at_ms: Any = None
        self._of_message: dict[str, list[int]] = {}

    def take(self, record: Record) -> int | None:
        """Take an event and say from which turn on something changed; None where nothing did."""
        at_ms = record.get("timestamp")
        if self.first_at_ms is None:
            self.first_at_ms = at_ms
        if record.get("type") == "error":
            self.turns.append(Turn(None, "error", error=dict(mapping(record.get("error"))), printed_at_ms=at_ms))
            return len(self.turns) - 1
        part = dict(mapping(record.get("part")))
        kind, message = text_of(part.get("type")), text_of(part.get("messageID"))
        if not kind or not message:
            return None
        position = self._position(message, part, at_ms)
        turn = self.turns[position]
        turn.parts[_part_key(part, len(turn.parts))] = part
        if turn.kind == "user" and not is_synthetic(part):
            turn.kind = "agent"
        if _continues_after_compaction(part):
            return self._mark_compaction(position)
        return position

    def _position(self, message: str, part: Record, at_ms: Any) -> int:
        known = self._of_message.setdefault(message, [])
        if known:
            latest = self.turns[known[-1]]
            is_new = part.get("type") == STEP_START and _part_key(part, -1) not in latest.parts
            if not is_new or not any(other.get("type") == STEP_START for other in latest.parts.values()):
                return known[-1]
            latest.is_last_of_message = False
        kind: Kind = "user" if is_synthetic(part) else "agent"
        self.turns.append(Turn(f"{message}#{len(known)}", kind, printed_at_ms=at_ms))
        known.append(len(self.turns) - 1)
        return known[-1]

    def _mark_compaction(self, position: int) -> int:
        """What OpenCode says by itself after a compaction comes right behind the call that made the summary."""
        if position and self.turns[position - 1].kind == "agent":
            self.turns[position - 1].compaction = {}
            return position - 1
        return position


@dataclass(frozen=True, slots=True)
class ExportedSession:
    """One file of `opencode export`."""

    info: Record
    turns: list[Turn]

    @property
    def id(self) -> str:
        return text_of(self.info.get("id"))

    @property
    def parent_id(self) -> str | None:
        return text_of(self.info.get("parentID")) or None


def exported_session(document: Any) -> ExportedSession | None:
    """What an export says; None for a document that is none."""
    info = dict(mapping(mapping(document).get("info")))
    if not text_of(info.get("id")):
        return None
    turns: list[Turn] = []
    compaction: dict[str, Any] = {}
    for message in mappings(mapping(document).get("messages")):
        head = dict(mapping(message.get("info")))
        parts = [dict(part) for part in mappings(message.get("parts"))]
        if head.get("role") == "user":
            asked = next((part for part in parts if part.get("type") == "compaction"), None)
            if asked:
                compaction = {name: asked[name] for name in ("auto", "overflow") if isinstance(asked.get(name), bool)}
            said = {_part_key(part, n): part for n, part in enumerate(parts) if part.get("type") in ("text", "file")}
            if said:
                turns.append(Turn(f"{text_of(head.get('id'))}#0", "user", said, head))
        else:
            is_summary = head.get("summary") is True or head.get("mode") == "compaction"
            turns += _answered(head, parts, compaction if is_summary else None)
            compaction = {} if is_summary else compaction
    return ExportedSession(info, turns)


def joined(printed: Sequence[Turn], exported: Sequence[Turn]) -> list[Turn]:
    """The turns that either tells, each once: the export's order and words, then what only stdout has.

    An error has no identity on stdout: the n-th there is the n-th of the export.
    """
    by_key = {turn.key: turn for turn in printed if turn.key}
    errors = [turn for turn in printed if turn.kind == "error"]
    found: list[Turn] = []
    n_errors = 0
    for turn in exported:
        if turn.kind == "error":
            n_errors += 1
            found.append(turn)
            continue
        other = by_key.pop(turn.key or "", None)
        if other is None:
            found.append(turn)
            continue
        found.append(
            replace(
                turn,
                kind="agent" if "agent" in (turn.kind, other.kind) else turn.kind,
                parts={**turn.parts, **{key: part for key, part in other.parts.items() if key not in turn.parts}},
                compaction=turn.compaction if turn.compaction is not None else other.compaction,
                printed_at_ms=other.printed_at_ms,
            )
        )
    rest = {id(turn) for turn in (*by_key.values(), *errors[n_errors:])}
    return [*found, *(turn for turn in printed if id(turn) in rest)]


def is_synthetic(part: Record) -> bool:
    """Whether OpenCode itself wrote the text in the user's place."""
    return part.get("type") == "text" and part.get("synthetic") is True


def _answered(head: Record, parts: list[Record], compaction: dict[str, Any] | None) -> Iterator[Turn]:
    """The calls of an assistant message (older versions have several in one), then the error that ended it."""
    message = text_of(head.get("id"))
    error = dict(mapping(head.get("error")))
    groups: list[dict[str, Record]] = []
    for number, part in enumerate(parts):
        if part.get("type") == STEP_START or not groups:
            groups.append({})
        groups[-1][_part_key(part, number)] = part
    if not groups and not error:
        # The call that was waited for when the agent was killed.
        groups.append({})
    for number, group in enumerate(groups):
        is_last = number == len(groups) - 1
        yield Turn(f"{message}#{number}", "agent", group, head, compaction=compaction, is_last_of_message=is_last)
    if error:
        yield Turn(f"{message}!", "error", info=head, error=error)


def _continues_after_compaction(part: Record) -> bool:
    return is_synthetic(part) and mapping(part.get("metadata")).get("compaction_continue") is True


def _part_key(part: Record, number: int) -> str:
    return text_of(part.get("id")) or f"#{number}"
