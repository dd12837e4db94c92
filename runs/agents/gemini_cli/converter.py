"""Gemini CLI's logs as a trajectory: session files are the record, what is printed adds what they don't have yet."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.draft import CallDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import mappings
from runs.agents.gemini_cli.printed import RETRY, Printed
from runs.agents.gemini_cli.session import Session
from runs.formats.reading import parse_json
from runs.formats.trajectory import SubagentTrajectoryRef

AGENT: Final = "gemini-cli"
STDOUT_LOG: Final = "gemini-cli.txt"
# The folder below the log folder in the place of ~/.gemini/tmp.
LOG_FOLDER: Final = "gemini"
_PLACES: Final = ("gemini/*/", "", "*/", "tmp/*/", ".gemini/tmp/*/", "*/tmp/*/")

SESSIONS: Final = LogSource(
    "session", (*(f"{place}chats/session-*.jsonl" for place in _PLACES), "gemini-cli.trajectory.jsonl")
)
SUB_AGENTS: Final = LogSource("sub-agent", tuple(f"{place}chats/*/*.jsonl" for place in _PLACES))
OLD_SESSIONS: Final = LogSource(
    "old session",
    (*(f"{place}chats/session-*.json" for place in _PLACES), "gemini-cli.trajectory.json"),
    rewritten=True,
)
PRINTED: Final = LogSource("printed", (STDOUT_LOG,), is_live=False)


class _Joined(Thread):
    """The steps of a session and, behind them, those that only the output has: they give way as the session grows."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._session_thread: Thread | None = None

    def join(self, session: Thread | None, tail: Sequence[StepDraft], grown: Sequence[StepDraft]) -> None:
        """Lay the steps out anew."""
        if session is not None:
            self._changed.update(session.changed())
        steps = [*(session.steps if session else ()), *tail]
        touched = {id(draft) for draft in grown}
        for position, draft in enumerate(steps):
            is_same = position < len(self.steps) and self.steps[position] is draft
            if not is_same or id(draft) in touched:
                self._changed.add(position)
        self.steps = steps


class GeminiCliConverter(Converter):
    """Session files of the CLI (main and sub-agents), and what it prints as text or as stream-json."""

    agent_name = AGENT
    sources = (SUB_AGENTS, SESSIONS, OLD_SESSIONS, PRINTED)

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._sessions: dict[str, Session] = {}
        self._printed = Printed()
        self._main = _Joined(MAIN)
        self._instruction: StepDraft | None = None
        self._lent: dict[str, StepDraft] = {}
        """Calls that the output has and the session file does not, and the steps that show them meanwhile."""

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take a line of a session or an event of the output."""
        if source is PRINTED:
            self._printed.take(record)
        else:
            self._session(path).take(record)

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a plain line of the output."""
        if source is PRINTED:
            self._printed.take_line(line)

    def document(self, source: LogSource, path: str, data: bytes) -> None:
        """Take a session of older versions, which is one JSON object."""
        whole = parse_json(data.decode(errors="replace"), lenient=True)
        if not isinstance(whole, dict):
            self.warn(f"{path} is no session")
            return
        session = self._session(path)
        session.take_header(whole)
        for message in mappings(whole.get("messages")):
            session.take(message)

    def _session(self, path: str) -> Session:
        if path not in self._sessions:
            key = path.rpartition("/")[2].removesuffix(".jsonl").removesuffix(".json")
            self._sessions[path] = Session(Thread(key), self.images, self.context.reasoning_effort)
        return self._sessions[path]

    def threads(self) -> Sequence[Thread]:
        """The main session; then sub-agents, and other sessions that lie beside it, by the time of their begin."""
        main, others = self._sorted()
        self._join_main(main)
        known = {session.thread.key for session in others if session.thread.steps}
        for session in (main, *others):
            if session is not None:
                _refer(session.thread, known)
        return [self._main, *(session.thread for session in others)]

    def _sorted(self) -> tuple[Session | None, list[Session]]:
        by_start = sorted(self._sessions.items(), key=lambda item: (item[1].started_at or "9", item[0]))
        mains = [session for path, session in by_start if self.source_of(path) is not SUB_AGENTS]
        main = next((session for session in mains if session.thread.steps), None)
        others: dict[str, Session] = {}
        for _, session in by_start:
            is_copy = main is not None and session.session_id == main.session_id and session.session_id is not None
            if session is not main and not is_copy:
                others.setdefault(session.thread.key, session)
        if any(session in mains and session.thread.steps for session in others.values()):
            self.warn("there are several sessions; the first that was begun is the agent's")
        return main, list(others.values())

    def _join_main(self, main: Session | None) -> None:
        printed = self._printed
        n_recorded = len(main.calls) if main else 0
        grown = list(printed.changed)
        printed.changed.clear()
        if main is not None:
            self._complete(main)
        tail: list[StepDraft] = []
        turns = printed.turns[n_recorded:]
        if main is None or not main.has_user_step:
            said = printed.instruction or self._given(has_steps=bool(main or turns or printed.failure))
            tail += [said] if said else []
        tail += [turn.draft for turn in turns]
        tail += [printed.failure] if printed.failure else []
        self._main.join(main.thread if main else None, tail, grown)

    def _complete(self, main: Session) -> None:
        """Give recorded steps what only the output has: errors before them, and calls that have not come back."""
        for identity, step in list(self._lent.items()):
            if identity in main.recorded:
                del self._lent[identity]
                if step is not main.thread.step_of_call(identity):
                    step.calls.pop(identity, None)
                    main.thread.touch(step)
        for step, turn in zip(main.calls, self._printed.turns, strict=False):
            is_it = turn.text == "".join(step.texts) or bool(turn.draft.calls.keys() & step.calls.keys())
            errors = list(turn.errors) if is_it else []
            if step.extra.get("api_errors", []) != errors:
                step.extra.pop("api_errors", None)
                step.extra |= {"api_errors": errors} if errors else {}
                main.thread.touch(step)
            for call in turn.draft.calls.values() if is_it else ():
                if call.id not in main.recorded:
                    self._lend(main, step, call)

    def _lend(self, main: Session, step: StepDraft, call: CallDraft) -> None:
        known = step.calls.get(call.id)
        if known is None:
            main.thread.add_call(step, replace(call, results=list(call.results)))
            self._lent[call.id] = step
        elif len(known.results) != len(call.results):
            known.results = list(call.results)
            main.thread.touch(step)

    def _given(self, *, has_steps: bool) -> StepDraft | None:
        if has_steps and self._instruction is None:
            self._instruction = instruction_step(self.context)
        return self._instruction if has_steps else None

    def summary_usage(self) -> Usage | None:
        """What the CLI counted beyond the steps: compactions, its own web searches, checks between turns."""
        whole = self._printed.usage
        if whole is None:
            return None
        totals = [session.thread.totals() for session in self._sessions.values()]
        given = (whole.input_tokens or 0) - sum(total.input_tokens or 0 for total in totals)
        read = (whole.cache_read_tokens or 0) - sum(total.cache_read_tokens or 0 for total in totals)
        output = (whole.output_tokens or 0) - sum(total.output_tokens or 0 for total in totals)
        reasoning = (whole.reasoning_tokens or 0) - sum(total.reasoning_tokens or 0 for total in totals)
        if min(given, read, output, reasoning) < 0 or not (given or output):
            return None
        return Usage(given - read, read, None, output, reasoning)

    def n_llm_calls(self) -> int:
        """The recorded calls, and the failed ones that the CLI printed before it tried again."""
        printed = [self._printed.errors, *(turn.errors for turn in self._printed.turns)]
        return super().n_llm_calls() + sum(error.startswith(RETRY) for errors in printed for error in errors)

    def agent_extra(self) -> dict[str, Any]:
        """Errors that were printed and belong to no step."""
        return {"printed_errors": list(self._printed.errors)} if self._printed.errors else {}

    def session_id(self) -> str | None:
        """The session's id."""
        main, _ = self._sorted()
        return (main.session_id if main else None) or self._printed.session_id

    @property
    def is_done(self) -> bool:
        """Whether the CLI has printed its result."""
        return self._printed.has_result

    def final_error(self) -> str | None:
        """What the CLI ended with, where it failed."""
        return self._printed.final_error


def _refer(thread: Thread, known: set[str]) -> None:
    """Say of each call that started a sub-agent which trajectory that is, once there is one."""
    for step in thread.steps:
        for call in step.calls.values():
            agent_id = call.extra.get("agent_id")
            for result in call.results[:1] if agent_id in known else ():
                if not result.subagents:
                    result.subagents = [SubagentTrajectoryRef(trajectory_id=agent_id)]
                    thread.touch(step)
