"""critique-result.json from bytes that a model wrote: limits, then the contract, then the rubric's schema. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from critique.formats.contract import (
    MAX_RESULT_BYTES,
    RESULT_FILE,
    CitationModel,
    ClaimModel,
    CritiqueResult,
    with_tags,
)
from critique.formats.schema import MAX_PROBLEMS, PIER_SCHEMA, REQUIRED, schema_problems
from runs.errors import PierError
from runs.formats.reading import JsonInvalid, parse_json
from runs.formats.validation import problems_of, shortened

MAX_DEPTH: Final = 40
# A broken document is checked by the schema only while that is cheap: its lists have no limits yet.
MAX_BROKEN_BYTES: Final = 256 * 1024
_ALTERNATIVE: Final = re.compile(r"\.(?:step|file|test) citation(?=[.:])")


class ContractBroken(PierError):
    """A critic's output is not what it was asked for."""

    cause = "agent"

    def __init__(self, problems: list[str], partial: dict[str, Any] | None = None) -> None:
        self.problems = problems
        """What is wrong, a sentence each, for the critic and for people; at most MAX_PROBLEMS and one."""
        self.partial = partial
        """What could be read of it, in the contract's form; None where it is no JSON object."""
        super().__init__(f"{RESULT_FILE}: {'; '.join(problems[:3])}")


def parse_result(data: bytes, schema: Mapping[str, Any] | None) -> CritiqueResult:
    """What a critic wrote, checked by the contract and the rubric's `schema`; raises ContractBroken.

    The schema sees the document as the contract reads it: `tag` and `tags` joined, numbers that were given as text
    are numbers. Without a schema the contract is Pier's, and what Pier leaves free is free: a `confidence`, `claims`
    or `checks` of another kind than the contract's is kept as an extra key, its name followed by `_as_written`.
    """
    document = _document(data)
    if schema is None:
        document, schema = _as_pier_may(document), PIER_SCHEMA
    try:
        result = CritiqueResult.model_validate(document)
    except ValidationError as error:
        problems = [_ALTERNATIVE.sub("", problem) for problem in problems_of(error)]
        if len(data) <= MAX_BROKEN_BYTES:
            problems += _not_yet_said(problems, schema_problems(schema, with_tags(document)))
        raise ContractBroken(_bounded(problems), _readable(document)) from None
    if problems := schema_problems(schema, result.model_dump(mode="json", exclude_unset=True)):
        raise ContractBroken(_bounded(problems), _readable(document))
    return result


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_RESULT_BYTES:
        raise ContractBroken([f"the file has {len(data):,} bytes; at most {MAX_RESULT_BYTES:,} are read"])
    try:
        text = data.decode("utf-8-sig")
        document = parse_json(text, max_depth=MAX_DEPTH)
        # A second reading, where there are escapes, cleans what no database takes: the first refuses bad numbers.
        document = parse_json(text, max_depth=MAX_DEPTH, lenient=True) if "\\u" in text else document
    except UnicodeDecodeError as error:
        raise ContractBroken([f"byte {error.start} is not UTF-8 text"]) from None
    except JsonInvalid as error:
        raise ContractBroken([f"{error}{_hint(data)}"]) from None
    if not isinstance(document, dict):
        raise ContractBroken(["the file must hold one JSON object"])
    return document


def _hint(data: bytes) -> str:
    start = data.lstrip()[:3]
    if not start:
        return ": the file is empty"
    return ": write the JSON alone, without a Markdown fence" if start == b"```" else ""


def _as_pier_may(document: dict[str, Any]) -> dict[str, Any]:
    strange = {key for key, is_ours in _OURS.items() if document.get(key) is not None and not is_ours(document[key])}
    return {f"{key}_as_written" if key in strange else key: value for key, value in document.items()}


_OURS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "confidence": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "claims": lambda value: isinstance(value, list) and all(isinstance(one, dict) and "claim" in one for one in value),
    "checks": lambda value: (
        isinstance(value, dict) and all(isinstance(one, dict) and "outcome" in one for one in value.values())
    ),
}


def _not_yet_said(said: list[str], more: list[str]) -> Iterator[str]:
    """Of `more`, what is not about a place that `said` names, one above it or one below it."""
    places = [problem.partition(": ")[0] for problem in said]
    for problem in more:
        place, _, complaint = problem.partition(": ")
        if complaint == REQUIRED:
            if place not in places:
                yield problem
        elif not any(_is_within(place, other) or _is_within(other, place) for other in places):
            yield problem


def _is_within(place: str, other: str) -> bool:
    return place == other or place.startswith((f"{other}.", f"{other}["))


def _bounded(problems: list[str]) -> list[str]:
    shown = [shortened(problem, 500) for problem in problems[:MAX_PROBLEMS]]
    n_left = len(problems) - len(shown)
    return [*shown, f"and {n_left} more, or others of the same kind"] if n_left > 0 else shown


def _readable(document: dict[str, Any]) -> dict[str, Any]:
    """The parts that keep the contract by themselves; of a list, its good entries."""
    joined = with_tags(document)
    found: dict[str, Any] = {}
    for key, value in joined.items():
        if key == "claims":
            claims = value[:_MAX_PARTS] if isinstance(value, list) else []
            found[key] = [claim for one in claims if (claim := _readable_claim(one)) is not None]
        elif key == "checks":
            checks = list(value.items())[:_MAX_PARTS] if isinstance(value, dict) else []
            found[key] = {name: check for name, check in checks if _keeps(_FIELDS["checks"], {name: check})}
        elif key == "tags":
            found[key] = [tag for tag in value[:_MAX_PARTS] if _keeps(_FIELDS["tags"], [tag])]
        elif key not in _FIELDS or _keeps(_FIELDS[key], value):
            found[key] = value
    return found


def _readable_claim(claim: Any) -> dict[str, Any] | None:
    if not isinstance(claim, dict) or _keeps(_CLAIM, claim):
        return claim if isinstance(claim, dict) else None
    citations = claim.get("citations")
    cited = citations[:_MAX_PARTS] if isinstance(citations, list) else []
    smaller = {
        key: value
        for key, value in claim.items()
        if key != "citations" and (key == "claim" or _keeps(_CLAIM, {"claim": "-", key: value}))
    }
    smaller["citations"] = [one for one in cited if _keeps(_CITATION, one)]
    return smaller if _keeps(_CLAIM, smaller) else None


def _keeps(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


_MAX_PARTS: Final = 200
_CLAIM: Final[TypeAdapter[Any]] = TypeAdapter(ClaimModel)
_CITATION: Final[TypeAdapter[Any]] = TypeAdapter(CitationModel)
_FIELDS: Final[Mapping[str, TypeAdapter[Any]]] = {
    name: TypeAdapter(field.rebuild_annotation()) for name, field in CritiqueResult.model_fields.items()
}
