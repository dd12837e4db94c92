"""What a trial's result.json says that its row has no column for: warnings, and whose work it judges again."""

import json
from dataclasses import dataclass
from itertools import accumulate

from runs.indexing.columns import headline_reward
from runs.indexing.values import Json, mapping, text
from runs.models import Trial
from runs.queries import Reader
from viewer.files import read_text

RESULT = "result.json"
MAX_BYTES = 1024 * 1024
MAX_WARNINGS = 100
MAX_WARNING_CHARS = 2_000
# Of all that are listed: they stand on each page of the trial.
MAX_LISTED_CHARS = 6_000


@dataclass(frozen=True, slots=True)
class Origin:
    """The trial whose work was judged again and what it had come to; `pk` where it is indexed and may be seen."""

    job: str
    trial: str
    reward: float | None
    exception_type: str
    pk: int | None


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is to be said of a trial on each of its pages. `n_warnings` counts those that are not listed, too."""

    warnings: tuple[str, ...] = ()
    n_warnings: int = 0
    origin: Origin | None = None


def remarks_on(trial: Trial, reader: Reader) -> Remarks:
    """The remarks in the result of a trial that has ended; one query where it judges another trial's work again."""
    file = None if trial.is_live else read_text(trial, RESULT, head=MAX_BYTES, tail=0)
    if file is None or file.missing_bytes:
        return Remarks()
    try:
        result = mapping(json.loads(file.head))
    except (ValueError, RecursionError):
        return Remarks()  # the indexer has said that it cannot be read
    told = result.get("warnings")
    warnings = [text(warning, MAX_WARNING_CHARS) for warning in told] if isinstance(told, list) else []
    warnings = [warning for warning in warnings if warning]
    origin = mapping(result.get("regraded_from"))
    lengths = accumulate(len(warning) for warning in warnings[:MAX_WARNINGS])
    listed = tuple(warning for warning, n_chars in zip(warnings, lengths, strict=False) if n_chars <= MAX_LISTED_CHARS)
    return Remarks(listed, len(warnings), _origin(origin, reader) if origin else None)


def _origin(origin: Json, reader: Reader) -> Origin:
    job, _, name = text(origin.get("directory"), 2_000).rstrip("/").rpartition("/")
    found = Trial.objects.visible_to(reader).filter(job__directory=job, name=name).values_list("pk", flat=True)
    return Origin(
        job=text(origin.get("job"), 255),
        trial=text(origin.get("trial"), 255) or name,
        reward=headline_reward(mapping(origin.get("rewards"))),
        exception_type=text(mapping(origin.get("exception_info")).get("exception_type"), 255),
        pk=found.first() if job and name else None,
    )
