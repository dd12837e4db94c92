"""Codex's logs to steps: the rollout of each thread, and what the CLI prints of failed requests and of the end."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from runs.agents.codex.printed import Printed
from runs.agents.codex.rollout import Rollout
from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource
from runs.agents.conversion.draft import Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import dig, mapping, text_of

STDOUT: Final = "codex.txt"
_PRINTED: Final = frozenset({"agent_message", "command_execution", "reasoning"})
MAX_ERRORS: Final = 1000


class CodexConverter(Converter):
    """One rollout file is one thread. Which is the main one, the CLI prints; else it is the one without a parent."""

    agent_name = "codex"
    sources: ClassVar[tuple[LogSource, ...]] = (
        LogSource("rollout", ("sessions/*/*/*/rollout-*.jsonl", "sessions/rollout-*.jsonl")),
        LogSource("stdout", (STDOUT,)),
    )

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._rollouts: dict[str, Rollout] = {}
        self._thread_id: str | None = None
        self._n_printed = 0
        self._errors: list[tuple[int, str]] = []
        self._has_printed_errors = False
        self._has_ended = False
        self._failure: str | None = None
        self._complaint: str | None = None
        self._printed = Printed(self.context)

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take one record of a rollout or one event of the CLI's output."""
        if source.name == "stdout":
            self._event(record)
            if not self._rollouts:
                self._printed.event(record)
            return
        rollout = self._rollouts.get(path) or Rollout(path, self.context, self.images)
        if rollout.record(record):
            self._rollouts[path] = rollout

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Before its first event the CLI says in plain text why it could not start."""
        if source.name == "stdout" and line.startswith(("Error", "error")):
            self._complaint = line.strip()[:2000]

    def close(self) -> None:
        """Take the last lines; turns that have no end stay unfinished."""
        super().close()
        for rollout in self._rollouts.values():
            rollout.close()
        if not self._rollouts:
            self._printed.close()
            self.warn("there is no rollout file of Codex: steps are what it printed, without times and usage of each")

    def threads(self) -> Sequence[Thread]:
        """The main thread and, in the order of their beginning, all others."""
        if self._is_closed and not self._rollouts:
            return [self._printed.thread]
        ordered = self._ordered()
        if ordered and ordered[0].parent_id and not self._is_closed:
            # The one that began it is about to be read.
            return []
        taken = {MAIN}
        for rollout in ordered:
            thread = rollout.thread
            key = MAIN if rollout is ordered[0] else rollout.id
            key = rollout.path if key in taken and key != MAIN else key
            taken.add(key)
            if thread.key != key:
                thread.key = key
                for step in thread.steps:
                    thread.touch(step)
        if ordered and (self._is_closed or ordered[0].id == self._thread_id):
            self._place_errors(ordered[0])
        return [rollout.thread for rollout in ordered]

    def summary_usage(self) -> Usage | None:
        """Where only the output of the CLI was kept, what it says was used."""
        return self._printed.usage if self._is_closed and not self._rollouts else None

    def session_id(self) -> str | None:
        """The id of the main thread, which `codex exec resume` takes."""
        main = self._main()
        return main.id if main else self._thread_id

    def logged_version(self) -> str | None:
        """The CLI's version, as the head of the session has it."""
        main = self._main()
        return text_of(main.meta.get("cli_version"))[:100] or None if main else None

    def agent_extra(self) -> dict[str, Any]:
        """Where the session ran, as its head says."""
        main = self._main()
        meta = main.meta if main else {}
        git = {name: value for name, value in mapping(meta.get("git")).items() if isinstance(value, str)}
        told = {name: text_of(meta.get(name)) for name in ("cwd", "originator", "model_provider")}
        return {name: value for name, value in {**told, "git": git}.items() if value}

    @property
    def is_done(self) -> bool:
        """Whether the turn has ended."""
        main = self._main()
        return self._has_ended or bool(main and main.is_done)

    def final_error(self) -> str | None:
        """What the last turn failed with, or why the CLI did not start."""
        main = self._main()
        if self._failure or (main and main.failure):
            return self._failure or (main.failure if main else None)
        return None if self._rollouts and self.is_done else self._complaint

    def _event(self, event: Record) -> None:
        kind = text_of(event.get("type"))
        if kind == "thread.started":
            self._thread_id = self._thread_id or text_of(event.get("thread_id")) or None
        elif kind == "turn.started":
            self._has_ended, self._failure = False, None
        elif kind == "turn.completed":
            self._has_ended, self._failure = True, None
        elif kind == "turn.failed":
            self._has_ended, self._failure = True, text_of(dig(event, "error", "message")) or None
            # The reason was printed as an error before, and the rollout has it at its end.
            if self._errors and self._errors[-1][1] == self._failure:
                self._errors.pop()
        elif kind == "error":
            self._error(text_of(event.get("message")))
        elif kind == "item.completed":
            item = mapping(event.get("item"))
            self._n_printed += text_of(item.get("type")) in _PRINTED
            if item.get("type") == "error":
                self._error(text_of(item.get("message")))

    def _error(self, message: str) -> None:
        if len(self._errors) < MAX_ERRORS:
            self._has_printed_errors = True
            self._errors.append((self._n_printed, message))

    def _ordered(self) -> list[Rollout]:
        return sorted(
            self._rollouts.values(),
            key=lambda rollout: (
                rollout.id != self._thread_id,
                rollout.parent_id is not None,
                rollout.began_at,
                rollout.path,
            ),
        )

    def _main(self) -> Rollout | None:
        return next(iter(self._ordered()), None)

    def _place_errors(self, main: Rollout) -> None:
        """Give each printed error to the step after whose output it was printed: it has no time of its own."""
        if not self._has_printed_errors:
            return
        steps = main.thread.steps
        placed: dict[int, list[str]] = {}
        for n_printed, message in self._errors:
            step = steps[0] if steps and not n_printed else main.printed_step(n_printed)
            if step is None and self._is_closed and steps:
                step = steps[-1]
            if step is not None:
                placed.setdefault(id(step), []).append(message)
        for step in steps:
            messages = placed.get(id(step), [])
            if step.extra.get("api_errors", []) != messages:
                step.extra["api_errors"] = messages
                main.thread.touch(step)
            if not messages:
                step.extra.pop("api_errors", None)
