"""An agent CLI while it runs: what it prints is kept, its logs are followed, its steps shown, its guards kept."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Self

from runs.agents.base import AgentRun
from runs.agents.conversion.base import Converter
from runs.errors import (
    AgentCallLimitError,
    AgentCostLimitError,
    AgentIdleError,
    AgentLingerError,
    GuardReached,
    NonZeroAgentExitCodeError,
    ProviderFailed,
    SandboxFailed,
)
from runs.sandboxes.base import AGENT_LOGS, Stream
from runs.sandboxes.following import Followed, follow

LOOK_SEC: Final = 0.25
# A look takes no more than a tenth of the time, and a step is never shown later than within a second.
LOOK_SHARE: Final = 10
MAX_LOOK_SEC: Final = 0.7
# The loop in the sandbox may be ended by what runs there; then it is begun anew, so often.
MAX_FOLLOWERS: Final = 20
EXCERPT_BYTES: Final = 2000
MAX_PRINTED_BYTES: Final = 512 * 1024 * 1024

# What in a final error tells that the model's service, not the agent, failed.
PROVIDER_WORDS: Final = re.compile(
    r"\b(401|403|429|500|502|503|504|529)\b|api[ _-]?key|authentication|unauthorized|overloaded|rate[ _-]?limit|quota"
    r"|service unavailable|connection (error|refused|reset)|socketerror|other side closed|api error: terminated",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Guards:
    """When an agent is stopped though it would go on; None is never."""

    max_cost_usd: float | None = None
    max_llm_calls: int | None = None
    max_idle_sec: float | None = None
    max_linger_sec: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Those among an agent's arguments."""
        return cls(*(values[name] for name in cls.__dataclass_fields__))


async def watch_agent(
    run: AgentRun,
    *,
    command: str,
    env: Mapping[str, str],
    log_name: str,
    converter: Converter,
    guards: Guards,
    stdin: bytes = b"",
) -> None:
    """Run the CLI to its end.

    Raises GuardReached (the process is killed then), NonZeroAgentExitCodeError or ProviderFailed after a bad end,
    SandboxFailed. All that the CLI prints goes to `log_name` in the log folder, and into the converter.
    """
    with (run.logs / log_name).open("wb") as log:
        watch = _Watch(run, converter, guards, log, log_name)
        tasks = [asyncio.create_task(watch.run_command(command, env, stdin)), asyncio.create_task(watch.look())]
        follower = asyncio.create_task(watch.follow_logs())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, follower):
                if not task.done():
                    task.cancel()
            outcomes = await asyncio.gather(*tasks, follower, return_exceptions=True)
            await watch.show()
    for outcome in outcomes[:2]:
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
    if isinstance(exit_code := outcomes[0], int) and exit_code:
        raise watch.failure(exit_code)


class _Watch:
    """One run of one CLI."""

    def __init__(self, run: AgentRun, converter: Converter, guards: Guards, log: BinaryIO, log_name: str) -> None:
        self._run = run
        self._converter = converter
        self._guards = guards
        self._log = log
        self._log_name = log_name
        self._n_printed = 0
        self._excerpt = bytearray()
        self._has_news = False
        self._grew_at = asyncio.get_running_loop().time()
        self._done_at: float | None = None

    async def run_command(self, command: str, env: Mapping[str, str], stdin: bytes) -> int:
        """Run the CLI and answer its exit code."""
        run = self._run
        # One pipe for both, so that a line of one is never cut by one of the other.
        result = await run.sandbox.exec(
            f"exec 2>&1; {command}", env=env, user=run.user, stdin=stdin, on_output=self._printed
        )
        return result.exit_code

    def _printed(self, _: Stream, data: bytes) -> None:
        self._n_printed += len(data)
        if self._n_printed <= MAX_PRINTED_BYTES:
            self._log.write(data)
            self._log.flush()
        self._excerpt = (self._excerpt + data)[-EXCERPT_BYTES:]
        self._take(self._log_name, None if self._is_rewritten(self._log_name) else self._n_printed - len(data), data)

    def _is_rewritten(self, path: str) -> bool:
        source = self._converter.source_of(path)
        return source is not None and source.rewritten

    def _take(self, path: str, offset: int | None, data: bytes) -> None:
        # After the loop was begun anew a file comes again from its start.
        known = self._converter.offset(path)
        if offset is not None and offset < known:
            data = data[known - offset :]
        if data and (offset is None or offset <= known):
            self._converter.feed(path, data)
            self._has_news = True
            self._grew_at = asyncio.get_running_loop().time()

    async def follow_logs(self) -> None:
        """Follow the files that the CLI writes, as long as it runs."""
        live = [source for source in self._converter.sources if source.is_live]
        files = Followed(
            growing=tuple(pattern for source in live if not source.rewritten for pattern in source.patterns),
            rewritten=tuple(pattern for source in live if source.rewritten for pattern in source.patterns),
        )
        for _ in range(MAX_FOLLOWERS):
            with suppress(SandboxFailed):
                await follow(self._run.sandbox, AGENT_LOGS, files, self._take)
            await asyncio.sleep(LOOK_SEC)

    async def look(self) -> None:
        """Show new steps and keep the guards, four times a second; less often where that is much work.

        Raises GuardReached.
        """
        loop, delay = asyncio.get_running_loop(), LOOK_SEC
        while True:
            await asyncio.sleep(delay)
            began = loop.time()
            if self._has_news:
                await self.show()
                self._check_use()
            self._check_time()
            delay = min(MAX_LOOK_SEC, max(LOOK_SEC, LOOK_SHARE * (loop.time() - began)))

    async def show(self) -> None:
        """Hand on the steps that are new or have grown."""
        self._has_news = False
        totals = self._ask(self._converter.totals)
        if self._run.live and totals and (updates := self._ask(self._converter.updates)):
            await self._run.live.take(updates, totals)

    def _ask[T](self, question: Callable[[], T]) -> T | None:
        """What the converter says; None where what an agent logged was too much for it: that ends no trial."""
        try:
            return question()
        except Exception:  # noqa: BLE001 - the final conversion says what is wrong
            return None

    def _check_use(self) -> None:
        guards = self._guards
        if guards.max_llm_calls is not None:
            n_calls = self._ask(self._converter.n_llm_calls) or 0
            if n_calls >= guards.max_llm_calls:
                raise AgentCallLimitError(f"the agent was stopped after {n_calls} calls of its model")
        if guards.max_cost_usd is not None:
            totals = self._ask(self._converter.totals)
            cost = (totals.cost_usd if totals else None) or 0.0
            if cost > guards.max_cost_usd:
                raise AgentCostLimitError(f"the agent was stopped after its calls had cost {cost:.4f} USD")

    def _check_time(self) -> None:
        guards, now = self._guards, asyncio.get_running_loop().time()
        if self._converter.is_done:
            self._done_at = self._done_at or now
            # What is still written after the final message says that it was not the final one.
            since = max(self._done_at, self._grew_at)
            if guards.max_linger_sec is not None and now - since > guards.max_linger_sec:
                raise AgentLingerError(f"the agent's process was ended {now - since:.0f} s after its final message")
        else:
            self._done_at = None
            if guards.max_idle_sec is not None and now - self._grew_at > guards.max_idle_sec:
                raise AgentIdleError(
                    f"the agent was stopped after its log had not grown for {now - self._grew_at:.0f} s"
                )

    def failure(self, exit_code: int) -> GuardReached | ProviderFailed | NonZeroAgentExitCodeError:
        """What an exit code other than 0 means, with the log's own last words."""
        said = self._converter.final_error()
        words = said or bytes(self._excerpt).decode(errors="replace").strip()
        message = f"the agent ended with exit code {exit_code}: {words[-EXCERPT_BYTES:]}"
        if said and PROVIDER_WORDS.search(said):
            return ProviderFailed(message)
        return NonZeroAgentExitCodeError(message)
