"""The Antigravity SDK's steps, as the runner script wrote them down, as a trajectory.

The SDK has a step for what the model says or thinks and one for each tool call; the first carries the usage of the
call of the model. A call of the model without words and thoughts has no step: its tool calls count to the one before,
and its tokens are unknown.
"""

from collections.abc import Sequence
from typing import Any, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import as_text, count, mapping, mappings, text_of, texts_of, timestamp_of
from runs.formats.trajectory import SubagentTrajectoryRef

AGENT: Final = "antigravity-sdk"
EVENTS_LOG: Final = "antigravity-sdk-events.jsonl"
STDOUT_LOG: Final = "antigravity-sdk.txt"
# What the SDK writes among a call's arguments once it has come back.
OUTPUTS: Final = frozenset(
    {
        "exit_code",
        "combined_output",
        "diff_block",
        "results",
        "output",
        "num_results",
        "summary",
        "content_path",
        "title",
    }
)
START_SUBAGENT: Final = "start_subagent"
SEARCH_WEB: Final = "search_web"
_FINISHED: Final = frozenset({"DONE", "ERROR", "CANCELED"})


class AntigravitySdkConverter(Converter):
    """The events of one conversation, its sub-agents' among them."""

    agent_name = AGENT
    sources = (LogSource("events", (EVENTS_LOG,)),)

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._main = Thread(MAIN)
        self._main_id: str | None = None
        self._others: dict[str, Thread] = {}
        self._steps: dict[str, StepDraft] = {}
        self._turns: dict[str, StepDraft] = {}
        """The newest call of the model of each thread, until someone else speaks."""
        self._starter: CallDraft | None = None
        self._session_id: str | None = None
        self._model_name: str | None = None
        self._is_done = False
        self._error: str | None = None

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take an event."""
        kind = record.get("type")
        at = timestamp_of(record.get("at"))
        if kind == "start":
            self._session_id = text_of(record.get("session_id")) or None
            self._model_name = text_of(record.get("model")) or None
        elif kind == "end":
            self._error = text_of(record.get("error")) or None
            self._is_done = self._error is None
        elif kind == "step":
            self._step(mapping(record.get("step")), at)

    def _thread(self, step: Record) -> Thread:
        identity = text_of(step.get("trajectory_id"))
        if self._main_id is None:
            self._main_id = identity
        if identity == self._main_id or not identity:
            return self._main
        if identity not in self._others:
            self._others[identity] = Thread(identity)
            self._refer(identity)
        return self._others[identity]

    def _refer(self, identity: str) -> None:
        """The log doesn't say who started a sub-agent: it was the newest call that starts some."""
        if self._starter is None:
            return
        if not self._starter.results:
            self._starter.results = [ResultDraft()]
        self._starter.results[0].subagents.append(SubagentTrajectoryRef(trajectory_id=identity))
        for thread in (self._main, *self._others.values()):
            draft = thread.step_of_call(self._starter.id)
            if draft is not None:
                thread.touch(draft)

    def _step(self, step: Record, at: str | None) -> None:
        identity = text_of(step.get("id"))
        if not identity:
            return
        thread = self._thread(step)
        if thread is self._main and not thread.steps and step.get("source") != "USER":
            given = instruction_step(self.context)
            if given:
                thread.add(given)
        if step.get("source") == "MODEL" and step.get("tool_calls"):
            self._calls(thread, step, at)
        elif step.get("source") == "MODEL":
            self._said_by_model(thread, identity, step, at)
        else:
            self._said_to_model(thread, identity, step, at)

    def _said_by_model(self, thread: Thread, identity: str, step: Record, at: str | None) -> None:
        draft = self._steps.get(identity)
        if draft is None:
            draft = self._new_turn(thread, at)
            self._steps[identity] = draft
        draft.texts = texts_of(step.get("content"))
        draft.reasonings = texts_of(step.get("thinking"))
        usage, is_cut = _usage(mapping(step.get("usage_metadata")))
        draft.usage = usage or draft.usage
        draft.is_unfinished = is_cut or step.get("status") != "DONE"
        if step.get("status") == "ERROR":
            draft.extra["error"] = text_of(step.get("error"))
        thread.touch(draft)

    def _new_turn(self, thread: Thread, at: str | None) -> StepDraft:
        effort = self.context.reasoning_effort
        draft = StepDraft("agent", at, model_name=self._model_name, reasoning_effort=effort, llm_call_count=1)
        self._turns[thread.key] = draft
        return thread.add(draft)

    def _said_to_model(self, thread: Thread, identity: str, step: Record, at: str | None) -> None:
        draft = self._steps.get(identity)
        if draft is None:
            draft = thread.add(StepDraft("user" if step.get("source") == "USER" else "system", at))
            self._steps[identity] = draft
            self._turns.pop(thread.key, None)
        draft.texts = texts_of(step.get("content")) or texts_of(step.get("error"))
        if step.get("type") == "COMPACTION":
            draft.mark_compaction()
        if step.get("status") == "ERROR":
            draft.extra["is_error"] = True
            code = count(step.get("http_code"))
            draft.extra |= {"http_code": code} if code else {}
        thread.touch(draft)

    def _calls(self, thread: Thread, step: Record, at: str | None) -> None:
        identity = text_of(step.get("id"))
        status = text_of(step.get("status"))
        for number, made in enumerate(mappings(step.get("tool_calls"))):
            name = text_of(made.get("name")) or "unknown"
            call_id = text_of(made.get("id")) or f"{identity}:{number}"
            given = mapping(made.get("args"))
            call = thread.call(call_id)
            if call is None:
                arguments = {key: value for key, value in given.items() if key not in OUTPUTS}
                call = CallDraft(call_id, name, arguments)
                draft = self._turns.get(thread.key) or self._new_turn(thread, at)
                thread.add_call(draft, call)
                if name == SEARCH_WEB:
                    draft.extra["server_web_search"] = True
                if name == START_SUBAGENT:
                    self._starter = call
            call.arguments |= {key: value for key, value in given.items() if key not in {*OUTPUTS, *call.arguments}}
            if status in _FINISHED:
                _answer(call, given, step)
            owner = thread.step_of_call(call_id)
            if owner is not None:
                thread.touch(owner)

    def threads(self) -> Sequence[Thread]:
        """The conversation, then its sub-agents in the order in which they began."""
        return [self._main, *self._others.values()]

    def session_id(self) -> str | None:
        """The conversation's id."""
        return self._session_id or self._main_id

    @property
    def is_done(self) -> bool:
        """Whether the runner script said that nothing is left to do."""
        return self._is_done

    def final_error(self) -> str | None:
        """What the conversation failed with."""
        return self._error


def _answer(call: CallDraft, given: Record, step: Record) -> None:
    """What came back. Of some tools, such as the one that views files, the SDK tells only that they are done."""
    known = call.results[0] if call.results else ResultDraft()
    call.results = [known]
    outputs: dict[str, Any] = {key: given[key] for key in given if key in OUTPUTS and key != "exit_code"}
    error = text_of(step.get("error"))
    if error:
        known.content = error
    elif outputs:
        plain = outputs.get("combined_output", outputs.get("output"))
        known.content = plain if isinstance(plain, str) and len(outputs) == 1 else as_text(outputs)
    status = text_of(step.get("status"))
    known.extra |= {"is_error": True} if error or status == "ERROR" else {}
    known.extra |= {"status": status} if status == "CANCELED" else {}
    if isinstance(given.get("exit_code"), int):
        known.extra["exit_code"] = given["exit_code"]


def _usage(usage: Record) -> tuple[Usage | None, bool]:
    """What the call used, and whether its stream was cut: then it has told the input alone.

    Cached input is within the prompt, thoughts are beside the candidates.
    """
    given, cached, output, thoughts = (
        count(usage.get(f"{name}_token_count")) for name in ("prompt", "cached_content", "candidates", "thoughts")
    )
    if given is None and output is None:
        return None, False
    read = min(cached or 0, given or 0)
    if not output and not thoughts:
        return Usage((given or 0) - read, read), True
    return Usage((given or 0) - read, read, None, (output or 0) + (thoughts or 0), thoughts or 0), False
