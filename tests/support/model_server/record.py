"""What is remembered of a run: each request, and what was really sent back. For the assertions of tests."""

import json
from collections import Counter
from dataclasses import dataclass

from tests.support.model_server.exchange import Asked, Json, NativeCall
from tests.support.model_server.script import Usage

MAX_TEXT = 1_000
TOKENS = ("uncached", "read", "write", "out", "reasoning")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a test may want to know of a request. Secrets in headers are redacted; long texts are cut."""

    method: str
    path: str
    headers: dict[str, str]
    is_streamed: bool
    tools: tuple[str, ...]
    web_tools: tuple[str, ...]
    cache_marks: int
    reasoning_asked: str | None
    """The keys that ask for reasoning with their values, as `reasoning.effort=high reasoning.summary=detailed`."""
    options: str
    """The body without conversation and tools, as JSON."""
    opening: str
    last_user_text: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A request and what was really sent back.

    `status` is `ok`, `http-error:KIND`, `stream-dropped-midway`, `stream-error:KIND`, `stalled-midway` (and not gone on
    since), `client-gone` or `under-way`. `turn` is the index in the thread's script; `is_repeat` says that the script
    was at its end.
    """

    call: int
    time: float
    api: str
    thread: str
    model: str
    turn: int
    is_repeat: bool
    status: str
    reasoning: str | None
    text: str | None
    tool_calls: tuple[NativeCall, ...]
    usage: Usage | None
    facts: Facts

    def as_json(self) -> Json:
        """In the form of the golden logs' `truth.json`."""
        calls = [{"id": call.id, "name": call.name, "args": call.arguments} for call in self.tool_calls]
        head: Json = {"call": self.call, "time": self.time, "thread": self.thread, "model": self.model}
        if self.usage is None:
            return {**head, "status": self.status}
        said = {"reasoning": self.reasoning, "text": self.text, "tool_calls": calls}
        usage = {name: getattr(self.usage, name) for name in TOKENS}
        return {**head, "status": self.status, **said, "usage": usage}


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that was sent in a run so far. Calls beyond 2,000 are answered and only counted, in `unrecorded`."""

    calls: tuple[ModelCall, ...]
    unrecorded: int
    other_requests: tuple[str, ...]
    """Requests that are no calls: `GET /v1/models`, `HEAD /`."""

    @property
    def threads(self) -> list[str]:
        """The threads in the order of their first request: `main`, `sub:NAME`, `compact`, `side`."""
        return list(dict.fromkeys(call.thread for call in self.calls))

    @property
    def counts(self) -> dict[str, int]:
        """Calls by status."""
        return dict(Counter(call.status for call in self.calls))

    @property
    def errors(self) -> int:
        """Calls that weren't answered whole."""
        return sum(call.status != "ok" for call in self.calls)

    def answered(self, thread: str) -> list[ModelCall]:
        """The calls of a thread that were answered whole."""
        return [call for call in self.calls if call.thread == thread and call.status == "ok"]

    def total(self, *threads: str) -> Usage:
        """The summed usage of the calls answered whole, of these threads or of all."""
        usages = [call.usage for name in threads or self.threads for call in self.answered(name) if call.usage]
        return Usage(*(sum(getattr(usage, name) for usage in usages) for name in TOKENS))

    def as_json(self) -> Json:
        """In the form of the golden logs' `truth.json`."""
        totals: Json = {}
        for thread in self.threads:
            total = self.total(thread)
            numbers = {name: getattr(total, name) for name in TOKENS}
            totals[thread] = {"calls": len(self.answered(thread)), **numbers}
        return {
            "api": self.calls[0].api if self.calls else None,
            "calls": [call.as_json() for call in self.calls],
            "totals_of_ok_calls_by_thread": totals,
            "counts": self.counts,
            "unrecorded": self.unrecorded,
            "other_requests": list(self.other_requests),
        }


def facts_of(method: str, path: str, headers: dict[str, str], asked: Asked) -> Facts:
    """What is kept of a request."""
    return Facts(
        method=method,
        path=path,
        headers=headers,
        is_streamed=asked.is_streamed,
        tools=tuple(tool.name for tool in asked.tools),
        web_tools=asked.web_tools,
        cache_marks=asked.cache_marks,
        reasoning_asked=asked.reasoning.how,
        options=json.dumps(asked.options, ensure_ascii=False)[:MAX_TEXT],
        opening=asked.opening[:MAX_TEXT],
        last_user_text=asked.last_user_text[:MAX_TEXT],
    )
