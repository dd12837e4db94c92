"""How long a step's model and tools took, where its writer tells. What is unknown is None, never 0."""

from runs.indexing.values import Json, amount, mapping, mappings

# Longer than any trial: such a figure is in another unit than its name says.
MAX_SEC = 7 * 86_400.0


def model_sec(raw: Json) -> float | None:
    """Seconds from the request to the end of the model's answer."""
    extra = mapping(mapping(raw.get("metrics")).get("extra"))
    duration_ms = amount(extra.get("duration_ms"))
    return _sane(duration_ms / 1000 if duration_ms is not None else amount(extra.get("duration_sec")))


def tool_sec(raw: Json) -> float | None:
    """Seconds of its calls, the longest of them: calls of one step may have run side by side."""
    results = mappings(mapping(raw.get("observation")).get("results"))
    told = [amount(mapping(result.get("extra")).get("duration_sec")) for result in results]
    return _sane(max((figure for figure in told if figure is not None), default=None))


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and seconds <= MAX_SEC else None
