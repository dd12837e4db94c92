"""Copilot CLI's logs to steps: the session's events, with tokens, and what only its stdout says of failed requests."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource
from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.copilot_cli.conversation import Conversation
from runs.agents.copilot_cli.printed import Printed
from runs.agents.copilot_cli.session import Session

AGENT: Final = "copilot-cli"
STDOUT: Final = "copilot-cli.txt"
SESSIONS: Final = "session-state"


class CopilotCliConverter(Converter):
    """One log is one session, sub-agents included. Without a log, steps are made of what was printed."""

    agent_name = AGENT
    sources: ClassVar[tuple[LogSource, ...]] = (
        LogSource(
            "events",
            (
                f"copilot/{SESSIONS}/*/events.jsonl",
                f"{SESSIONS}/*/events.jsonl",
                "copilot-session/*/events.jsonl",
                "copilot-sessions/*/events.jsonl",
                "events.jsonl",
            ),
        ),
        LogSource("stdout", (STDOUT,)),
    )

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._sessions: dict[str, Session] = {}
        self._printed = Printed()
        self._printed_session = Session(STDOUT, self.context, self.images)

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take one event of a session's log or of the CLI's output."""
        if source.name == "stdout":
            self._printed.take(record)
            if record.get("ephemeral") is not True:
                self._printed_session.take(record)
        elif "type" in record:
            if path not in self._sessions:
                self._sessions[path] = Session(path, self.context, self.images)
            self._sessions[path].take(record)

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a plain line of the output."""
        if source.name == "stdout":
            self._printed.text(line)

    def close(self) -> None:
        """Take the last lines, and what was being said when they ended."""
        super().close()
        main = self._main()
        for agent, stream in sorted(self._printed.streams.items()):
            draft = stream.draft()
            conversation = main.known(agent)
            if draft and conversation and conversation.step_of_turn(stream.turn) is None:
                main.unfinished(agent, draft)
        if not self._has_log():
            self.warn("there is no events.jsonl of Copilot CLI, so that the tokens of its calls are not known")
        elif len(self._sessions) > 1:
            self.warn(
                f"there are {len(self._sessions)} sessions; the first one, {main.id or main.path}, is the agent's"
            )

    def threads(self) -> Sequence[Thread]:
        """The main thread, its sub-agents, then those of other sessions."""
        if not self._is_closed and not self._has_log():
            return []
        self._place_troubles()
        if not self._has_log():
            return _threads_of(self._printed_session)
        ordered = self._ordered()
        _rename(ordered[0].main.thread, MAIN)
        found = _threads_of(ordered[0])
        taken = {thread.key for thread in found}
        for session in ordered[1:]:
            for thread in _threads_of(session):
                key = session.id or session.path if thread is session.main.thread else thread.key
                _rename(thread, key if key not in taken else f"{session.path}/{key}")
                taken.add(thread.key)
                found.append(thread)
        return found

    def summary_usage(self) -> Usage | None:
        """What calls beside the conversations used."""
        return self._main().usage_of_rest()

    def n_llm_calls(self) -> int:
        """The calls of all steps, and those that failed."""
        return super().n_llm_calls() + self._printed.n_failed_calls

    def agent_extra(self) -> dict[str, Any]:
        """Where the session ran and what GitHub bills for it, as the log says."""
        return dict(self._main().extra)

    def session_id(self) -> str | None:
        """The session's identity, which `copilot --resume` takes."""
        return self._main().id or self._printed.session_id

    def logged_version(self) -> str | None:
        """The CLI's version, as the log has it."""
        return self._main().version

    @property
    def is_done(self) -> bool:
        """Whether the CLI has said its last word."""
        return self._printed.exit_code is not None or self._main().is_done

    def final_error(self) -> str | None:
        """What the session ended with, or why it never began."""
        failure = self._main().failure or self._printed_session.failure
        if failure and not self._is_recovered():
            return failure
        return self._printed.complaint if self._printed.exit_code or not self.is_done else None

    def _is_recovered(self) -> bool:
        return self._printed.exit_code == 0

    def _has_log(self) -> bool:
        return any(session.main.thread.steps for session in self._sessions.values())

    def _ordered(self) -> list[Session]:
        with_steps = [session for session in self._sessions.values() if session.main.thread.steps]
        return sorted(with_steps, key=lambda session: (session.began_at, session.path))

    def _main(self) -> Session:
        return next(iter(self._ordered()), self._printed_session)

    def _place_troubles(self) -> None:
        """Give the errors of each turn to the step that came of it: the log of the session has none of them."""
        main = self._main()
        for turn, troubles in self._printed.troubles.items():
            conversation = main.known(turn[0])
            if conversation is None or not conversation.thread.steps:
                continue
            step = conversation.step_of_turn(turn)
            if step is None and self._is_closed:
                step = conversation.thread.steps[-1]
            if step:
                _tell(conversation, step, troubles.extra())


def _tell(conversation: Conversation, step: StepDraft, extra: dict[str, Any]) -> None:
    is_news = any(step.extra.get(name) != value for name, value in extra.items())
    # Always last, so that the order doesn't depend on which file came first.
    for name in extra:
        step.extra.pop(name, None)
    step.extra |= extra
    if is_news:
        conversation.thread.touch(step)


def _threads_of(session: Session) -> list[Thread]:
    return [session.main.thread, *(agent.thread for agent in session.agents.values())]


def _rename(thread: Thread, key: str) -> None:
    if thread.key != key:
        thread.key = key
        for step in thread.steps:
            thread.touch(step)
