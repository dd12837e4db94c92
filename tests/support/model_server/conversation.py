"""One run: which thread a request belongs to, which turn comes next, and the record of what was really sent."""

import json
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.support.model_server.exchange import Answer, Asked, Face, NativeCall
from tests.support.model_server.record import Facts, ModelCall, Truth
from tests.support.model_server.script import Cut, Fault, Script, Stall, Turn
from tests.support.model_server.tools import example_of, native_calls, thread_mark, works_in_a_sandbox

MAX_RUNS = 1_000
MAX_CALLS = 2_000
SUMMARY_REQUESTS = (
    "create a detailed summary of the conversation so far",
    "CONTEXT CHECKPOINT COMPACTION",
    "<state_snapshot>",
    "Provide a detailed prompt for continuing our conversation",
    "Summarize the conversation",
    "anchored summary",
    "Here is the conversation so far:\n\n<conversation>",
)
"""How the agents ask for a compaction, in the newest message of the user."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to do with a request: refuse it, or answer and perhaps break off or stall on the way."""

    call: int
    thread: str
    answer: Answer | None
    refusal: Fault | None = None
    interruption: Cut | Stall | None = None


@dataclass(slots=True)
class Conversation:
    """The state of one run. Methods may be called from any thread."""

    run_id: str
    script: Script
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _calls: dict[int, ModelCall] = field(default_factory=dict)
    _asked: int = 0
    _next: Counter[str] = field(default_factory=Counter)
    _failed: Counter[tuple[str, int]] = field(default_factory=Counter)
    _others: list[str] = field(default_factory=list)

    def reply(self, face: Face, asked: Asked, facts: Facts) -> Reply:
        """Choose the answer and record it as `under-way`; `settle` says how it went."""
        with self._lock:
            self._asked += 1
            number = self._asked
            thread = thread_of(asked, self.script)
            turn, index, calls = self._turn(thread, asked, f"{face.call_prefix}{number:03d}")
            is_repeat = self._next[thread] >= len(self.script.turns(thread))
            error = self._error(thread, turn, index)
            if error is None:
                self._next[thread] = index + 1
            refusal = error if isinstance(error, Fault) else None
            answer = None if refusal else self._answer(face, asked, turn, calls, number)
            call = ModelCall(
                call=number,
                time=time.time(),
                api=asked.api,
                thread=thread,
                model=asked.model,
                turn=index,
                is_repeat=is_repeat,
                status=f"http-error:{refusal}" if refusal else "under-way",
                reasoning=answer.reasoning if answer else None,
                text=answer.text if answer else None,
                tool_calls=answer.calls if answer else (),
                usage=answer.usage if answer else None,
                facts=facts,
            )
            if len(self._calls) < MAX_CALLS:
                self._calls[number] = call
        return Reply(number, thread, answer, refusal, error if isinstance(error, Cut) else turn.stall)

    def settle(self, reply: Reply, status: str) -> str:
        """Record how the answer went and return what is recorded: a client that leaves a stall leaves it a stall.

        A client that left gets the same turn when it asks again.
        """
        with self._lock:
            call = self._calls.get(reply.call)
            if call is None:
                return status
            if status == "client-gone":
                if self._next[reply.thread] == call.turn + 1:
                    self._next[reply.thread] = call.turn
                status = call.status if call.status == "stalled-midway" else status
            self._calls[reply.call] = replace(call, status=status)
            return status

    def note(self, request: str) -> None:
        """Remember a request that asks for no answer of the model."""
        with self._lock:
            if len(self._others) < MAX_CALLS:
                self._others.append(request)

    def truth(self) -> Truth:
        """A copy of the record."""
        with self._lock:
            return Truth(tuple(self._calls.values()), self._asked - len(self._calls), tuple(self._others))

    def _turn(self, thread: str, asked: Asked, id_prefix: str) -> tuple[Turn, int, tuple[NativeCall, ...]]:
        turns = self.script.turns(thread)
        last = len(turns) - 1
        index = min(self._next[thread], last)
        calls = native_calls(turns[index].calls, asked, id_prefix)
        while turns[index].calls and not calls and turns[index].text is None and index < last:
            index += 1
            calls = native_calls(turns[index].calls, asked, id_prefix)
        return turns[index], index, calls

    def _error(self, thread: str, turn: Turn, index: int) -> Fault | Cut | None:
        if self.script.refuses_all:
            return self.script.refuses_all
        failed = self._failed[thread, index]
        self._failed[thread, index] += 1
        if turn.last_error_repeats:
            failed = min(failed, len(turn.errors) - 1)
        return turn.errors[failed] if failed < len(turn.errors) else None

    def _answer(self, face: Face, asked: Asked, turn: Turn, calls: tuple[NativeCall, ...], number: int) -> Answer:
        reasons = asked.reasoning.happens and turn.reasoning is not None
        shown = face.shown_reasoning(turn.reasoning or "") if reasons and asked.reasoning.is_shown else None
        return Answer(
            id=f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.run_id)}_{number:03d}",
            model=asked.model,
            created_at=int(time.time()),
            reasoning=shown,
            reasons=reasons,
            text=_text_for(asked, turn),
            calls=calls,
            usage=turn.usage if reasons else replace(turn.usage, reasoning=0),
            reports_usage=_wants_usage(asked),
        )


class Conversations:
    """The runs, the least recently used first; more than 1,000 push the oldest out."""

    def __init__(self, script_of: Callable[[str], Script | None]) -> None:
        self._script_of = script_of
        self._lock = threading.Lock()
        self._runs: OrderedDict[tuple[str, str], Conversation] = OrderedDict()

    def open(self, scenario: str, run_id: str) -> Conversation | None:
        """The run's conversation, begun if need be; None if there is no such scenario."""
        with self._lock:
            key = (scenario, run_id)
            if key not in self._runs:
                script = self._script_of(scenario)
                if script is None:
                    return None
                self._runs[key] = Conversation(run_id, script)
            self._runs.move_to_end(key)
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
            return self._runs[key]

    def find(self, run_id: str) -> Conversation | None:
        """The newest run of this id in any scenario."""
        with self._lock:
            return next((run for key, run in reversed(self._runs.items()) if key[1] == run_id), None)

    def forget(self, scenario: str, run_id: str) -> None:
        """Begin the run anew at its next request."""
        with self._lock:
            self._runs.pop((scenario, run_id), None)


def thread_of(asked: Asked, script: Script) -> str:
    """Whose request it is, judged by what it offers and says."""
    if asked.is_compaction or any(phrase in asked.last_user_text for phrase in SUMMARY_REQUESTS):
        return "compact"
    if not works_in_a_sandbox(asked) and script.main_needs_tools:
        return "side"
    names = (name for name in script.sub_agents if thread_mark(name) in asked.opening)
    return next((f"sub:{name}" for name in names), "main")


def _text_for(asked: Asked, turn: Turn) -> str | None:
    if asked.response_schema is None or turn.calls:
        return turn.text
    return json.dumps(example_of(asked.response_schema or {"type": "object"}, turn.text or ""), ensure_ascii=False)


def _wants_usage(asked: Asked) -> bool:
    stream_options = asked.options.get("stream_options")
    wanted = isinstance(stream_options, dict) and stream_options.get("include_usage") is True
    return asked.api != "chat" or not asked.is_streamed or wanted
