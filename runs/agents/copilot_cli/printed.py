"""What Copilot CLI prints beside its session's events: failed requests, what is being said, and how it ended."""

from dataclasses import dataclass, field
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, StepDraft
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import arguments_of, count, mapping, text_of, timestamp_of
from runs.agents.copilot_cli.conversation import Turn, turn_of
from runs.formats.reading import JsonInvalid, parse_json

MAX_ERRORS: Final = 1000
MAX_CALLS: Final = 200


@dataclass(slots=True)
class Stream:
    """One request to the model, while its answer comes in."""

    turn: Turn
    model: str
    at: str | None = None
    reasoning: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    has_failure: bool = False

    def draft(self) -> StepDraft | None:
        """What has come in as a step; None while that is nothing."""
        draft = StepDraft("agent", self.at, model_name=self.model or None, llm_call_count=1)
        draft.reasonings = ["".join(self.reasoning)] if self.reasoning else []
        draft.texts = ["".join(self.text)] if self.text else []
        for identity, (name, pieces) in self.calls.items():
            draft.calls[identity] = CallDraft(identity, name, arguments_of("".join(pieces)))
        return draft if draft.texts or draft.reasonings or draft.calls else None


@dataclass(slots=True)
class Troubles:
    """What went wrong in a turn before it went on."""

    errors: list[str] = field(default_factory=list)
    interrupted: list[dict[str, str]] = field(default_factory=list)
    """What had come in of answers that were cut, and asked for anew."""

    def extra(self) -> dict[str, Any]:
        """As a step has it."""
        errors = {"api_errors": list(self.errors)} if self.errors else {}
        return {**errors, **({"interrupted_answers": list(self.interrupted)} if self.interrupted else {})}


class Printed:
    """The transient events of the CLI's stdout, and its plain lines."""

    def __init__(self) -> None:
        self.troubles: dict[Turn, Troubles] = {}
        self.streams: dict[str, Stream] = {}
        """What each agent is being answered, by the agent; "" is the main one."""
        self.n_failed_calls = 0
        self.exit_code: int | None = None
        self.session_id: str | None = None
        self.complaint: str | None = None
        self._turns: dict[str, Turn] = {}
        self._n_errors = 0

    def take(self, event: Record) -> None:
        """Take one event."""
        kind, data, agent = text_of(event.get("type")), mapping(event.get("data")), text_of(event.get("agentId"))
        stream = self.streams.get(agent)
        if kind == "assistant.turn_start":
            self._turns[agent] = turn_of(event)
        elif kind == "model.call_start":
            self.streams[agent] = Stream(self._turns.get(agent, (agent, "", "")), text_of(data.get("model")))
        elif kind == "model.call_finished":
            self._finished(agent, text_of(data.get("outcome")))
        elif kind in ("assistant.message", "assistant.turn_end"):
            self.streams.pop(agent, None)
        elif kind == "model.call_failure":
            self._failure(agent, _words_of(data))
        elif kind == "session.info" and data.get("infoType") == "model_retry":
            self._retry(agent, text_of(data.get("message")))
        elif kind == "result":
            self.exit_code = count(event.get("exitCode")) or 0
            self.session_id = text_of(event.get("sessionId")) or None
        elif stream and kind.endswith("_delta"):
            self._delta(stream, kind, data, timestamp_of(event.get("timestamp")))

    def text(self, line: str) -> None:
        """Take a plain line: before its first event the CLI says in such lines why it could not start."""
        if line.lstrip().startswith(("Error", "error:")):
            self.complaint = line.strip()[:2000]

    @staticmethod
    def _delta(stream: Stream, kind: str, data: Record, at: str | None) -> None:
        stream.at = stream.at or at
        if kind == "assistant.reasoning_delta":
            stream.reasoning.append(text_of(data.get("deltaContent")))
        elif kind == "assistant.message_delta":
            stream.text.append(text_of(data.get("deltaContent")))
        elif kind == "assistant.tool_call_delta":
            identity = text_of(data.get("toolCallId"))
            if identity and (identity in stream.calls or len(stream.calls) < MAX_CALLS):
                call = stream.calls.setdefault(identity, (text_of(data.get("toolName")), []))
                call[1].append(text_of(data.get("inputDelta")))

    def _finished(self, agent: str, outcome: str) -> None:
        """After an error the CLI says whether it tries again; what had come in by then is lost to it."""
        stream = self.streams.get(agent)
        if outcome != "error":
            return
        self.n_failed_calls += 1
        draft = stream.draft() if stream else None
        if stream and draft:
            kept = {"message": "".join(draft.texts), "reasoning": "".join(draft.reasonings)}
            kept["tool_calls"] = ", ".join(call.name for call in draft.calls.values())
            self._of(stream.turn).interrupted.append({name: text for name, text in kept.items() if text})
            stream.reasoning, stream.text, stream.calls = [], [], {}

    def _failure(self, agent: str, words: str) -> None:
        stream = self.streams.get(agent)
        if stream:
            stream.has_failure = True
        self._error(self._turns.get(agent, (agent, "", "")), words)

    def _retry(self, agent: str, words: str) -> None:
        """Only of a cut answer is this all that is told of the reason."""
        stream = self.streams.get(agent)
        if stream and not stream.has_failure:
            stream.has_failure = True
            self._error(stream.turn, words)

    def _error(self, turn: Turn, words: str) -> None:
        self._n_errors += 1
        if words and self._n_errors <= MAX_ERRORS:
            self._of(turn).errors.append(words)

    def _of(self, turn: Turn) -> Troubles:
        return self.troubles.setdefault(turn, Troubles())


def _words_of(data: Record) -> str:
    """The status and the words of a failed request."""
    told = text_of(data.get("errorMessage"))
    try:
        parsed = parse_json(told, lenient=True) if told.startswith(("{", '"')) else None
    except (JsonInvalid, ValueError, RecursionError):
        parsed = None
    words = text_of(mapping(parsed).get("message")) or text_of(parsed) or told
    status = count(data.get("statusCode"))
    return f"{status} {words}".strip() if status else words
