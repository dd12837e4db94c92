"""Claude Code's logs to steps: session files have the conversation, stdout has the end and what was spent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from runs.agents.claude_code.printed import Printed, Spent, spent_in_all
from runs.agents.claude_code.thread import ThreadLog
from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, StepUpdate
from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import MAX_LINE_BYTES, Record, record_of
from runs.agents.conversion.usage import Totals, Usage
from runs.agents.conversion.values import text_of
from runs.formats.trajectory import Step

AGENT: Final = "claude-code"
STDOUT_LOG: Final = "claude-code.txt"
# CLAUDE_CONFIG_DIR below the log folder: ours and Pier's; the CLI's default below a home; the folder itself.
_PROJECTS: Final = ("sessions/projects/*/", ".claude/projects/*/", "projects/*/")
_DELEGATED: Final = ("*/subagents/", "*/subagents/*/", "*/subagents/*/*/")

SESSION: Final = LogSource("session", tuple(f"{place}*.jsonl" for place in _PROJECTS))
SUBAGENT: Final = LogSource(
    "subagent", tuple(f"{place}{below}agent-*.jsonl" for place in _PROJECTS for below in _DELEGATED)
)
META: Final = LogSource(
    "meta", tuple(f"{place}{below}agent-*.meta.json" for place in _PROJECTS for below in _DELEGATED), rewritten=True
)
STDOUT: Final = LogSource("stdout", (STDOUT_LOG,))


class ClaudeCodeConverter(Converter):
    """Joins a session file, its sub-agents' files and stdout.

    Stdout alone gives a trajectory too, once it is closed: without tokens of output by step, which it does not have.
    """

    agent_name = AGENT
    sources = (SESSION, SUBAGENT, META, STDOUT)

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._sessions: dict[str, ThreadLog] = {}
        self._subagents: dict[str, ThreadLog] = {}
        self._sidechains: dict[str, dict[str, ThreadLog]] = {}
        self._roots: dict[str, dict[str, str]] = {}
        self._calls: dict[str, str] = {}
        self._cost_states: dict[str, list[Record]] = {}
        self._printed = Printed(self.images, self.context)
        self._foreseen: dict[int, Step] = {}

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Take a record of a session, of a sub-agent or of stdout."""
        if source is STDOUT:
            self._printed.take(record)
        elif source is SUBAGENT or _stem(path).startswith("agent-"):
            self._subagents.setdefault(path, ThreadLog(path, self.images)).take(record)
        elif record.get("isSidechain") is True:
            self._sidechain(path, record)
        else:
            if path not in self._sessions:
                self._sessions[path] = ThreadLog(MAIN, self.images, self.context)
            if record.get("type") == "cost-state":
                self._cost_states.setdefault(path, []).append(record)
            self._sessions[path].take(record)

    def document(self, source: LogSource, path: str, data: bytes) -> None:
        """Take a sub-agent's .meta.json, which names the call that began it."""
        meta = record_of(data[:MAX_LINE_BYTES]) or {}
        call_id = text_of(meta.get("toolUseId"))
        if call_id:
            self._calls[path.removesuffix(".meta.json")] = call_id

    def _sidechain(self, path: str, record: Record) -> None:
        """Older versions have sub-agents in their parent's file, known by the chain of their records."""
        roots = self._roots.setdefault(path, {})
        identity = text_of(record.get("uuid"))
        key = text_of(record.get("agentId")) or roots.get(text_of(record.get("parentUuid"))) or identity or "sidechain"
        roots[identity] = key
        chains = self._sidechains.setdefault(path, {})
        if key not in chains:
            chains[key] = ThreadLog(key, self.images)
        chains[key].take(record)

    def threads(self) -> Sequence[Thread]:
        """The session that was started, then its sub-agents and whatever other sessions ran meanwhile."""
        main = self._main_path()
        if main is None:
            return self._printed_threads() if self._is_closed else []
        logs = self._logs_beside(main)
        self._link([self._sessions[main], *logs.values()], logs)
        for key, log in {MAIN: self._sessions[main], **logs}.items():
            log.name(key)
        return [self._sessions[main].thread, *(log.thread for log in logs.values())]

    def _printed_threads(self) -> list[Thread]:
        printed = self._printed
        main, *others = printed.threads.values()
        if not main.has_steps:
            return []
        for log in others:
            call_id = printed.call_of_thread[log.thread.key]
            for parent in printed.threads.values():
                if parent is not log and log.has_steps and parent.refer(call_id, log.thread.key):
                    break
        return [log.thread for log in (main, *others)]

    def _main_path(self) -> str | None:
        """The file of the session that stdout is of; else of the one that began first."""
        begun = [path for path, log in self._sessions.items() if log.has_steps]
        named = [path for path in begun if _stem(path) == self._printed.session_id]
        return min(named or begun, key=lambda path: (self._sessions[path].facts.first_at or "~", path), default=None)

    def _logs_beside(self, main: str) -> dict[str, ThreadLog]:
        """All other conversations of the run by their key, in the order in which they were begun."""
        found: dict[str, ThreadLog] = {}
        folder = f"{main.removesuffix('.jsonl')}/"
        began = self._sessions[main].facts.first_at or ""
        for path, log in self._sessions.items():
            # What ended before the main session began is of an earlier run in the same sandbox.
            if path != main and (log.facts.last_at or "~") >= began:
                found[_stem(path)] = log
        for path, chains in self._sidechains.items():
            found |= {key if path == main else f"{_stem(path)}/{key}": log for key, log in chains.items()}
        for path, log in self._subagents.items():
            session, _, below = path.partition("/subagents/")
            if path.startswith(folder) or not below:
                found[_agent_key(below or path.rpartition("/")[2])] = log
            elif (log.facts.last_at or "~") >= began:
                found[f"{_stem(session)}/{_agent_key(below)}"] = log
        found.pop(MAIN, None)
        began_first = sorted(found.items(), key=lambda item: (item[1].facts.first_at or "~", item[0]))
        return {key: log for key, log in began_first if log.has_steps}

    def _link(self, parents: Sequence[ThreadLog], logs: Mapping[str, ThreadLog]) -> None:
        """Give the call that began a sub-agent the reference to its thread."""
        calls = {key: call for log in parents for key, call in log.agent_calls.items()}
        named = {id(log): self._calls.get(path.removesuffix(".jsonl")) for path, log in self._subagents.items()}
        for key, log in logs.items():
            call_id = named.get(id(log)) or calls.get(key)
            for parent in parents:
                if parent is log:
                    continue
                found = call_id or (parent.call_with_prompt(log.prompt) if log.prompt else None)
                if found and parent.refer(found, key):
                    break

    def close(self) -> None:
        """Take the last lines, and from stdout the turn that the session files don't have."""
        super().close()
        main = self._main_path()
        printed = self._printed
        has_ended = bool(printed.results)
        if main is None:
            if any(log.has_steps for log in printed.threads.values()):
                self.warn("there is no session file: of stdout alone, output tokens are known as a total only")
            else:
                self.warn(f"no record of {AGENT} was found")
            logs = list(printed.threads.values())
        else:
            beside = self._logs_beside(main)
            others = {key: log for key, log in beside.items() if id(log) in map(id, self._sessions.values())}
            if others:
                self.warn(f"{len(others)} more sessions ran beside the main one; they are kept as sub-agents")
            for key, log in printed.threads.items():
                mine = self._sessions[main] if key == MAIN else beside.get(self._key_of(key, beside))
                if mine is not None:
                    mine.adopt(log)
            logs = [self._sessions[main], *beside.values()]
        if not has_ended:
            for log in logs:
                log.leave_open()

    def _key_of(self, key: str, beside: Mapping[str, ThreadLog]) -> str:
        """The key of a sub-agent of stdout, which older versions know by its call alone."""
        if key in beside:
            return key
        call_id = self._printed.call_of_thread.get(key, key)
        by_call = {call: path for path, call in self._calls.items()}
        return _agent_key(by_call.get(call_id, key).rpartition("/")[2])

    def updates(self) -> list[StepUpdate]:
        """New and grown steps, and the turn that stdout has already and the session file will have at its end."""
        found = super().updates()
        main = self._main_path()
        if self._is_closed or main is None:
            return found
        log, printed = self._sessions[main], self._printed.threads[MAIN]
        coming: list[StepDraft] = []
        for identity in reversed(printed.steps_by_message):
            if identity in log.steps_by_message:
                break
            coming.insert(0, printed.steps_by_message[identity])
        # Their places are taken anew by what the file then has, so that the steps themselves never move.
        for step_id, draft in enumerate(coming, start=len(log.thread.steps) + 1):
            step = replace(draft, is_unfinished=True).step(step_id)
            if self._foreseen.get(step_id) != step:
                self._foreseen[step_id] = step
                found.append(StepUpdate(MAIN, step))
        return found

    def _all_logs(self) -> list[ThreadLog]:
        chains = [log for group in self._sidechains.values() for log in group.values()]
        return [*self._sessions.values(), *chains, *self._subagents.values()]

    def _main_log(self) -> ThreadLog:
        main = self._main_path()
        return self._printed.threads[MAIN] if main is None else self._sessions[main]

    def _spent(self) -> Spent | None:
        main = self._main_path()
        states = self._cost_states.get(main, []) if main else []
        return spent_in_all(self._printed.results) or spent_in_all(states[-1:])

    def summary_usage(self) -> Usage | None:
        """What the CLI counted beyond the logged calls (compactions, broken streams), and the cost of all."""
        spent = self._spent()
        if spent is None:
            return None
        logged = Totals()
        for thread in self.threads():
            for draft in thread.steps:
                logged.add(draft.usage)
        uncached = _minus(logged.input_tokens, (logged.cache_read_tokens or 0) + (logged.cache_write_tokens or 0))
        usage = Usage(
            uncached_tokens=_rest(spent, "inputTokens", uncached),
            cache_read_tokens=_rest(spent, "cacheReadInputTokens", logged.cache_read_tokens),
            cache_write_tokens=_rest(spent, "cacheCreationInputTokens", logged.cache_write_tokens),
            output_tokens=_rest(spent, "outputTokens", logged.output_tokens),
            reasoning_tokens=_rest(spent, "thinkingTokens", logged.reasoning_tokens),
            cost_usd=None if spent.is_guess else spent.cost_usd,
            cost_source=None if spent.is_guess or spent.cost_usd is None else f"{AGENT} total_cost_usd",
        )
        return None if usage == Usage() else usage

    def n_llm_calls(self) -> int:
        """Requests that the session files tell of, those that failed included."""
        logs = self._all_logs() or self._printed.threads.values()
        return max(sum(len(log.steps_by_message) for log in logs), sum(log.facts.n_requests for log in logs))

    def logged_version(self) -> str | None:
        """The CLI's version as it says itself."""
        return self._main_log().facts.version or self._printed.version

    def session_id(self) -> str | None:
        """The CLI's own identity of the session."""
        return self._main_log().facts.session_id or self._printed.session_id

    def agent_extra(self) -> dict[str, Any]:
        """Where it worked, and on which branches."""
        facts = self._main_log().facts
        folders = [*facts.working_directories] or [*filter(None, [self._printed.working_directory])]
        known = {"cwds": folders, "git_branches": list(facts.git_branches)}
        return {name: values for name, values in known.items() if values}

    def tool_definitions(self) -> list[dict[str, Any]] | None:
        """The tools as requests offered them; of stdout alone only their names."""
        defined = list(self._main_log().facts.tools.values())
        return defined or [{"name": name} for name in self._printed.tool_names] or None

    @property
    def is_done(self) -> bool:
        """Whether the CLI gave its result, or the model its last word where nothing is printed."""
        if self._printed.has_begun:
            return self._printed.is_done
        return self._main_log().ends_with_answer

    def final_error(self) -> str | None:
        """The failed result's words, else those of a refusal after which the model never answered."""
        if self._printed.results:
            return self._printed.ended_with_error
        return self._main_log().last_error


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".jsonl")


def _agent_key(below: str) -> str:
    """A sub-agent's id of its file's path below `subagents/`."""
    folder, _, name = below.removesuffix(".jsonl").rpartition("/")
    key = name.removeprefix("agent-")
    return f"{folder}/{key}" if folder else key


def _minus(whole: int | None, part: int) -> int | None:
    return None if whole is None else whole - part


def _rest(spent: Spent, name: str, logged: int | None) -> int | None:
    """What is left of a figure; None for nothing."""
    figure = spent.tokens.get(name)
    rest = 0 if figure is None else figure - (logged or 0)
    return rest if rest > 0 else None
