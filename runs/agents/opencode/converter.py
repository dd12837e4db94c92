"""OpenCode's logs into steps: its JSON lines while it runs, the exports of its sessions once it has ended.

The exports have what stdout lacks: the sub-agents, the user's words, the output of a tool that was running.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.draft import Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import count, mapping, text_of
from runs.agents.opencode.steps import CUT, GOES_ON, StepMaker, finish_reason, words_of
from runs.agents.opencode.turns import ExportedSession, PrintedSession, Turn, exported_session, joined
from runs.formats.reading import JsonInvalid, parse_json

STDOUT: Final = "opencode.txt"
EXPORTS: Final = "sessions"
MAX_SESSIONS: Final = 500


class OpenCodeConverter(Converter):
    """Joins stdout and exports by the ids of sessions, messages and parts."""

    agent_name: ClassVar[str] = "opencode"
    sources: ClassVar[tuple[LogSource, ...]] = (
        LogSource("stdout", (STDOUT,)),
        LogSource("export", (f"{EXPORTS}/*.json", "export.json", "export.*.json"), rewritten=True, is_live=False),
    )

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._printed: dict[str, PrintedSession] = {}
        self._exports: dict[str, ExportedSession] = {}
        self._maker = StepMaker(self.images, self.context.instruction, self.context.reasoning_effort)
        self._threads: dict[str, Thread] = {}
        self._turns: dict[str, list[Turn]] = {}
        self._changed_from: dict[str, int] = {}
        self._is_stale = False

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take an event of stdout."""
        session_id = text_of(record.get("sessionID"))
        if not session_id:
            return
        if session_id not in self._printed:
            if len(self._printed) >= MAX_SESSIONS:
                return
            self._printed[session_id] = PrintedSession()
            self._is_stale = True
        changed = self._printed[session_id].take(record)
        if changed is not None:
            # The turn before is over once there is another.
            self._changed_from[session_id] = min(changed - 1, self._changed_from.get(session_id, changed))

    def document(self, source: LogSource, path: str, data: bytes) -> None:
        """Take an export."""
        try:
            session = exported_session(parse_json(data.decode(errors="replace"), lenient=True))
        except (JsonInvalid, ValueError, RecursionError):
            session = None
        if session is None:
            if data.strip():
                self.warn(f"{path} is no whole export of a session")
            return
        if session.id in self._exports or len(self._exports) < MAX_SESSIONS:
            self._exports[session.id] = session
            self._is_stale = True

    def close(self) -> None:
        super().close()
        self._is_stale = True

    def threads(self) -> Sequence[Thread]:
        if self._is_stale or self._exports:
            if self._is_stale or self._changed_from:
                self._rebuild()
        else:
            for session_id, changed in self._changed_from.items():
                self._write(session_id, changed)
        self._is_stale = False
        self._changed_from.clear()
        return list(self._threads.values())

    def session_id(self) -> str | None:
        return self._main_id()

    def agent_extra(self) -> dict[str, Any]:
        export = self._main_export()
        if export is None:
            return {}
        facts = {"cwd": export.info.get("directory"), "cli_version": export.info.get("version")}
        return {name: value for name, value in facts.items() if isinstance(value, str)}

    def n_llm_calls(self) -> int:
        """Calls that ended in an error have no step of their own, but were made."""
        self.threads()
        n_failed = sum(turn.kind == "error" for turns in self._turns.values() for turn in turns)
        return super().n_llm_calls() + n_failed

    @property
    def is_done(self) -> bool:
        last = self._last_turn()
        if last is None or last.kind != "agent" or last.compaction is not None:
            return False
        return finish_reason(last) not in (None, GOES_ON, CUT)

    def final_error(self) -> str | None:
        last = self._last_turn()
        return words_of(last.error) if last and last.kind == "error" else None

    def _last_turn(self) -> Turn | None:
        self.threads()
        turns = self._turns.get(self._main_id() or "")
        return turns[-1] if turns else None

    def _main_export(self) -> ExportedSession | None:
        return self._exports.get(self._main_id() or "")

    def _main_id(self) -> str | None:
        """The session that stdout begins with; without stdout the oldest that no other began."""
        if self._printed:
            return next(iter(self._printed))
        # Until all is here, the session that began this one may still come.
        found = [export for export in self._exports.values() if export.parent_id is None or self._is_closed]
        return min(found, key=lambda export: (export.parent_id is not None, _begun(export.info))).id if found else None

    def _session_ids(self) -> list[str]:
        """The main session, then the others in the order in which they were begun."""
        main = self._main_id()
        begun = {name: (count(printed.first_at_ms) or 0, name) for name, printed in self._printed.items()}
        begun |= {name: _begun(export.info) for name, export in self._exports.items()}
        others = sorted((name for name in begun if name != main), key=begun.__getitem__)
        return [main, *others] if main else []

    def _rebuild(self) -> None:
        ids = self._session_ids()
        if not ids:
            return
        main = ids[0]
        self._maker.sessions = frozenset(ids[1:])
        known = self._threads
        self._threads = {}
        for session_id in ids:
            key = MAIN if session_id == main else session_id
            self._threads[session_id] = known.get(session_id) or Thread(key)
            if self._threads[session_id].key != key:
                self._threads[session_id] = Thread(key)
            printed, export = self._printed.get(session_id), self._exports.get(session_id)
            turns = printed.turns if printed else []
            self._turns[session_id] = joined(turns, export.turns) if export else turns
            self._write(session_id, 0)
        export = self._exports.get(main)
        version = text_of(export.info.get("version")) if export else ""
        if version and self.context.agent_version is None:
            self.context = replace(self.context, agent_version=version)

    def _write(self, session_id: str, changed_from: int) -> None:
        """Bring the steps of a session up to date from one turn on."""
        thread, turns = self._threads[session_id], self._turns[session_id]
        lead = instruction_step(self.context) if thread.key == MAIN and not _has_instruction(turns) else None
        if lead:
            thread.put(0, lead)
        for position in range(max(changed_from, 0), len(turns)):
            is_over = self._is_closed or position < len(turns) - 1
            draft = self._maker.step(turns[position], is_over=is_over)
            thread.put(position + (lead is not None), draft)


def _begun(info: Record) -> tuple[int, str]:
    return count(mapping(info.get("time")).get("created")) or 0, text_of(info.get("id"))


def _has_instruction(turns: list[Turn]) -> bool:
    """Whether the session's own first words are a user's, as exports have them."""
    return bool(turns) and turns[0].kind == "user" and bool(turns[0].info)
