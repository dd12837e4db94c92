"""Which result answers which tool call: by id, by an id that a writer hid in `extra`, or by position.

The format wants a result in the step of its call; real writers put it there without an id, or in later steps.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from runs.formats.trajectory_content import Content, read_content, text_or_none

_ID_KEYS: Final = (
    "source_call_id",
    "tool_call_id",
    "toolCallId",
    "tool_use_id",
    "toolUseId",
    "call_id",
    "callId",
    "id",
)
_ERROR_KEYS: Final = ("is_error", "isError")
_EXIT_KEYS: Final = ("exit_code", "exitCode")


@dataclass(slots=True)
class ReadSubagentRef:
    """A delegated run: embedded under `trajectory_id`, or in the file `trajectory_path` beside this one."""

    trajectory_id: str | None
    trajectory_path: str | None
    session_id: str | None


@dataclass(slots=True)
class ReadObservation:
    """A result that belongs to no call; `source_call_id` is the call it names in vain."""

    text: str
    images: list[str]
    audio: list[str]
    source_call_id: str | None
    subagents: list[ReadSubagentRef]


@dataclass(slots=True)
class ReadToolCall:
    """A call and what came back: `results` is empty while nothing did, `is_error` None where nobody said.

    `arguments_text` stands in for `arguments` where they are no object.
    """

    id: str | None
    name: str
    arguments: dict[str, Any]
    arguments_text: str | None = None
    results: list[str] = field(default_factory=list)
    is_error: bool | None = None
    images: list[str] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)
    subagents: list[ReadSubagentRef] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> str | None:
        """All that came back, several results one below the other; joined anew each time."""
        return "\n".join(self.results) if self.results else None

    @property
    def is_answered(self) -> bool:
        """Whether anything came back."""
        return bool(self.results)

    def take(self, content: Content, *, is_error: bool | None, subagents: list[ReadSubagentRef]) -> None:
        """Add a result to those that came before."""
        self.results.append(content.text)
        self.images += content.images
        self.audio += content.audio
        self.subagents += subagents
        if is_error is not None:
            self.is_error = is_error or bool(self.is_error)


@dataclass(slots=True)
class Joined:
    """What a step keeps of its results: those of nobody's call, and the ids of earlier calls it answered."""

    observations: list[ReadObservation] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    complaint: str | None = None


class ResultJoiner:
    """Follows a trajectory step by step and remembers the calls that may still be answered."""

    def __init__(self) -> None:
        self._by_id: dict[str, ReadToolCall] = {}
        self._waiting: list[ReadToolCall] = []  # unanswered calls of the latest step that had any

    def join(self, raw: dict[str, Any], calls: list[ReadToolCall], *, may_answer_earlier: bool) -> Joined:
        """Give the step's results to its calls, or to earlier ones; the rest stays the step's own."""
        self._by_id |= {call.id: call for call in calls if call.id is not None}
        joined = Joined()
        nameless: list[dict[str, Any]] = []
        for result in _results_of(raw, joined):
            identifier = _id_of(result, raw, self._by_id)
            call = self._by_id.get(identifier) if identifier is not None else None
            if call is None:
                nameless.append(result)
            else:
                self._give(result, call, calls, joined)
        self._place(nameless, calls, joined, may_answer_earlier=may_answer_earlier)
        if calls:
            self._waiting = [call for call in calls if not call.is_answered]
        return joined

    def _place(
        self, results: list[dict[str, Any]], calls: list[ReadToolCall], joined: Joined, *, may_answer_earlier: bool
    ) -> None:
        """Results without a usable id: by position, where the counts leave no doubt."""
        open_calls = [call for call in calls if not call.is_answered]
        if not calls and may_answer_earlier:
            self._waiting = [call for call in self._waiting if not call.is_answered]
            open_calls = self._waiting[: len(results)]
        certain = len(open_calls) == len(results) or len(calls) == 1
        for number, result in enumerate(results):
            named_in_vain = text_or_none(result.get("source_call_id"))
            if certain and open_calls and named_in_vain is None:
                self._give(result, open_calls[min(number, len(open_calls) - 1)], calls, joined)
                continue
            if named_in_vain is not None:
                joined.complaint = "a result names a call that doesn't exist"
            content, refs = read_content(result.get("content")), _refs_of(result)
            if content.text or content.images or content.audio or refs or named_in_vain:
                joined.observations.append(
                    ReadObservation(content.text, content.images, content.audio, named_in_vain, refs)
                )

    @staticmethod
    def _give(result: dict[str, Any], call: ReadToolCall, calls: list[ReadToolCall], joined: Joined) -> None:
        call.take(read_content(result.get("content")), is_error=_is_error(result), subagents=_refs_of(result))
        if not any(call is own for own in calls):
            joined.answers.append(call.id or "")
            joined.complaint = "a result stands in a later step than its call"


def _results_of(raw: dict[str, Any], joined: Joined) -> list[dict[str, Any]]:
    observation = raw.get("observation")
    if observation is None:
        return []
    results = observation.get("results") if isinstance(observation, dict) else observation
    if not isinstance(results, list):
        joined.complaint = "the observation is not a list of results"
        results = [] if results is None else [results]
    return [result if isinstance(result, dict) else {"content": result} for result in results if result is not None]


def _id_of(result: dict[str, Any], step: dict[str, Any], known: dict[str, ReadToolCall]) -> str | None:
    """The id of a known call that the result names, itself or in an `extra`."""
    named = result.get("source_call_id")
    if isinstance(named, str):
        return named
    for extra in (result.get("extra"), step.get("extra")):
        if isinstance(extra, dict):
            found = (extra.get(key) for key in _ID_KEYS)
            identifier = next((value for value in found if isinstance(value, str) and value in known), None)
            if identifier is not None:
                return identifier
    return None


def _refs_of(result: dict[str, Any]) -> list[ReadSubagentRef]:
    refs = result.get("subagent_trajectory_ref")
    return [
        ReadSubagentRef(*(text_or_none(ref.get(key)) for key in ("trajectory_id", "trajectory_path", "session_id")))
        for ref in (refs if isinstance(refs, list) else [refs])
        if isinstance(ref, dict)
    ]


def _is_error(result: dict[str, Any]) -> bool | None:
    """What the writer says of success, in the result or its `extra`; None where it says nothing."""
    for place in (result, result.get("extra")):
        if not isinstance(place, dict):
            continue
        flag = next((place[key] for key in _ERROR_KEYS if isinstance(place.get(key), bool)), None)
        if isinstance(flag, bool):
            return flag
        code = next((place[key] for key in _EXIT_KEYS if isinstance(place.get(key), int)), None)
        if code is not None:
            return bool(code)
        if place.get("status") in ("error", "failed"):
            return True
    return None
