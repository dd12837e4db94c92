"""What one call of a model used, in the same parts whoever counted it, and how it is written into ATIF metrics."""

from dataclasses import dataclass
from typing import Any

from runs.formats.trajectory import Metrics


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one API call. None is unknown, never 0.

    `uncached_tokens`, `cache_read_tokens` and `cache_write_tokens` together are all input; `output_tokens` includes
    `reasoning_tokens`. Agents that count otherwise are converted where their log is read. `cost_usd` is what the log
    says that the call cost; prices of tables are added later and elsewhere.
    """

    uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    cost_source: str | None = None
    """Where `cost_usd` comes from, such as `openrouter cost_details.upstream_inference_cost`."""
    time_to_first_token_ms: float | None = None
    duration_ms: float | None = None

    @property
    def input_tokens(self) -> int | None:
        """All input, cached or not."""
        parts = (self.uncached_tokens, self.cache_read_tokens, self.cache_write_tokens)
        known = [part for part in parts if part is not None]
        return sum(known) if known else None

    def metrics(self) -> Metrics | None:
        """As a step carries it; what ATIF has no field for is in `extra`. None where nothing is known."""
        extra: dict[str, Any] = {
            name: value
            for name, value in (
                ("cache_creation_tokens", self.cache_write_tokens),
                ("reasoning_tokens", self.reasoning_tokens),
                ("time_to_first_token_ms", self.time_to_first_token_ms),
                ("duration_ms", self.duration_ms),
                ("cost_source", self.cost_source),
            )
            if value is not None
        }
        figures = (self.input_tokens, self.output_tokens, self.cost_usd)
        if not extra and all(figure is None for figure in figures):
            return None
        return Metrics(
            prompt_tokens=self.input_tokens,
            completion_tokens=self.output_tokens,
            cached_tokens=self.cache_read_tokens,
            cost_usd=self.cost_usd,
            extra=extra or None,
        )


@dataclass(slots=True)
class Totals:
    """Sums over calls. A figure that no call told stays None."""

    n_calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    peak_context_tokens: int | None = None

    def add(self, usage: Usage | None, *, n_calls: int = 1) -> None:
        """Count a call, or several that `usage` sums."""
        self.n_calls += n_calls
        if usage is None:
            return
        self.input_tokens = _plus(self.input_tokens, usage.input_tokens)
        self.output_tokens = _plus(self.output_tokens, usage.output_tokens)
        self.cache_read_tokens = _plus(self.cache_read_tokens, usage.cache_read_tokens)
        self.cache_write_tokens = _plus(self.cache_write_tokens, usage.cache_write_tokens)
        self.reasoning_tokens = _plus(self.reasoning_tokens, usage.reasoning_tokens)
        self.cost_usd = _plus(self.cost_usd, usage.cost_usd)
        if n_calls == 1 and usage.input_tokens is not None:
            self.peak_context_tokens = max(self.peak_context_tokens or 0, usage.input_tokens)


def _plus[N: (int, float)](total: N | None, figure: N | None) -> N | None:
    if figure is None:
        return total
    return figure if total is None else total + figure
