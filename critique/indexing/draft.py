"""What the files of one critique say, as the columns of its rows; the database is asked nothing here.

Our own critiques have critique.json, which says what came of the critic. Pier's have critique-metadata.json.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from critique.checks.records import CHECKS_FOLDER, MAX_RECORD_BYTES
from critique.citations.formats import CheckedCitation, CheckedCitations
from critique.formats.contract import (
    MAX_RESULT_BYTES,
    RESULT_FILE,
    ClaimModel,
    CritiqueResult,
    FileCitation,
    StepCitation,
)
from critique.formats.reading import ContractBroken, parse_result
from critique.formats.records import METADATA, RECORD, CritiqueRecord
from critique.models import Citation, Outcome, Subject
from runs.errors import FileUnreadable
from runs.formats.reading import read_text
from runs.formats.validation import first_problem
from runs.indexing.cleaning import clean_json, clip
from runs.indexing.columns import MAX_POSITIVE_INTEGER
from runs.indexing.reader import Reader
from runs.indexing.values import Json, first_text, mapping, text

RESULT = f"artifacts/{RESULT_FILE}"
MAX_EXTRA_CHARS = 200_000
CHECK_OUTCOMES = {"confirmed", "refuted", "not_runnable"}
MAX_TAGS, MAX_CLAIMS, MAX_CHECKS = 50, 200, 100
CHECK_NAME = re.compile(r"([1-9][0-9]{0,2})\.json")
NOT_CHECKED = "the quote has not been looked for"


@dataclass(slots=True)
class CitationDraft:
    """A Citation without its claim. `place` is path and fragment of the trajectory that the step is of."""

    columns: dict[str, Any]
    place: tuple[str, str] | None = None


@dataclass(slots=True)
class ClaimDraft:
    """A Claim without its critique; `position` counts from 1."""

    position: int
    columns: dict[str, Any]
    citations: list[CitationDraft] = field(default_factory=list)


@dataclass(slots=True)
class CritiqueDraft:
    """A Critique without run and trials. No outcome: the critic has not ended, or its end was not recorded."""

    columns: dict[str, Any]
    outcome: Outcome | None
    source_name: str
    """Of what was looked at; empty where no file says it."""
    subject: Subject = Subject.TRIAL
    tags: list[str] = field(default_factory=list)
    claims: list[ClaimDraft] = field(default_factory=list)
    result: CritiqueResult | None = None
    """What could be read of the critic's output, also where it breaks the contract."""

    @property
    def has_citations(self) -> bool:
        """Whether there is anything to look for."""
        return any(claim.citations for claim in self.claims)

    def add_checked(self, checked: CheckedCitations) -> None:
        """Say of each citation what was found out about it."""
        found = {(one.claim, one.citation): one for one in checked.citations}
        for claim in self.claims:
            for number, citation in enumerate(claim.citations, start=1):
                if one := found.get((claim.position, number)):
                    _add_found(citation, one)


def check_files(directory: Path) -> list[str]:
    """The records of suggested checks that were run, by the claim's number: `checks/3.json`."""
    folder = directory / CHECKS_FOLDER
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if CHECK_NAME.fullmatch(entry.name)]
    except OSError:
        return []
    return sorted(f"{CHECKS_FOLDER}/{name}" for name in names)


def draft_critique(reader: Reader) -> CritiqueDraft:
    """Read the directory of one critique; what is broken becomes a problem of the reader."""
    record = _record(reader)
    result, complaint = _result(reader, by_rubric=record is not None and record.rubric is not None)
    metadata = reader.mapping(METADATA)
    outcome, failure = _outcome(record, metadata, has_result=result is not None, complaint=complaint)
    columns = {
        "failure": clip(failure, 10_000),
        **_result_columns(result),
    }
    if record is not None:
        columns |= {"sample": min(record.sample, MAX_POSITIVE_INTEGER), "digests": clean_json(record.digests)}
    draft = CritiqueDraft(
        columns=columns,
        outcome=outcome,
        source_name=first_text(255, record.source_name if record else None, metadata.get("source_trial_name")),
        subject=Subject(record.subject) if record else Subject.TRIAL,
        tags=[clip(tag, 100) for tag in result.tags] if result else [],
        claims=[_claim(number, claim) for number, claim in enumerate(result.claims, start=1)] if result else [],
        result=result,
    )
    _add_checks(reader, draft)
    return draft


def _record(reader: Reader) -> CritiqueRecord | None:
    data = reader.mapping(RECORD)
    if not data:
        return None
    try:
        return CritiqueRecord.model_validate(data)
    except ValidationError as error:
        reader.problem(RECORD, f"is not a critique's record ({first_problem(error)})")
        return None


def _result(reader: Reader, *, by_rubric: bool) -> tuple[CritiqueResult | None, str]:
    """What the critic wrote, as far as it can be read, and what is wrong with it."""
    try:
        data = read_text(reader.root / RESULT, MAX_RESULT_BYTES, within=reader.root).encode("utf-8", "replace")
        # What a rubric asks for besides was looked at when the critic ended, and is in its record.
        return parse_result(data, {} if by_rubric else None), ""
    except FileUnreadable as error:
        is_there = (reader.root / RESULT).is_symlink() or (reader.root / RESULT).exists()
        return None, f"{RESULT_FILE} {error.reason}" if is_there else ""
    except ContractBroken as error:
        return (None if error.partial is None else _readable(error.partial)), str(error)


def _readable(partial: dict[str, Any]) -> CritiqueResult | None:
    """The good parts of an output that breaks the contract, without the limits on how many there may be."""
    kept = {"feedback": "-", **partial}
    kept |= {"tags": kept.get("tags", [])[:MAX_TAGS], "claims": kept.get("claims", [])[:MAX_CLAIMS]}
    kept["checks"] = dict(list(kept.get("checks", {}).items())[:MAX_CHECKS])
    try:
        result = CritiqueResult.model_validate(kept)
    except ValidationError:
        return None
    return result if "feedback" in partial else result.model_copy(update={"feedback": ""})


def _outcome(
    record: CritiqueRecord | None, metadata: Json, *, has_result: bool, complaint: str
) -> tuple[Outcome | None, str]:
    if record is not None:
        if record.is_valid and (complaint or not has_result):
            return Outcome.INVALID, complaint or f"{RESULT_FILE} is not there any more"
        return Outcome(record.outcome), record.failure or complaint
    if not metadata.get("finished_at"):
        return None, ""
    exception = mapping(metadata.get("exception_info"))
    parts = (text(exception.get(key), 2000) for key in ("exception_type", "exception_message"))
    told = ": ".join(part for part in parts if part)
    if has_result and not complaint:
        return Outcome.VALID, told
    if complaint:
        return Outcome.INVALID, complaint
    return Outcome.FAILED, told or f"the critic wrote no {RESULT_FILE}"


def _result_columns(result: CritiqueResult | None) -> dict[str, Any]:
    if result is None:
        return {"rating": "", "feedback": "", "confidence": None, "criteria": {}, "extra": {}}
    criteria = {name: check.model_dump(include={"outcome", "explanation"}) for name, check in result.checks.items()}
    return {
        "rating": result.rating or "",
        "feedback": clip(result.feedback, 200_000),
        "confidence": result.confidence,
        "criteria": clean_json(criteria),
        "extra": _extra(result.model_extra or {}),
    }


def _extra(extra: dict[str, Any]) -> dict[str, Any]:
    """Other keys of the result as far as there is room for them in a row; the whole is in the file."""
    kept: dict[str, Any] = {}
    n_left = MAX_EXTRA_CHARS
    for key, value in extra.items():
        clean = clean_json(value)
        n_left -= len(key) + len(json.dumps(clean))
        if n_left < 0:
            break
        kept[clip(key, 200)] = clean
    return kept


def _claim(position: int, claim: ClaimModel) -> ClaimDraft:
    check = claim.suggested_check
    columns = {
        "text": clip(claim.claim, 20_000),
        "category": clip(claim.category, 100),
        "severity": claim.severity,
        "confidence": claim.confidence,
        "suggested_check": clean_json(check.model_dump(mode="json", exclude_none=True)) if check else None,
        "check_outcome": "",
        "check_result": {},
    }
    return ClaimDraft(position, columns, list(_citations(claim)))


def _citations(claim: ClaimModel) -> Iterator[CitationDraft]:
    for citation in claim.citations:
        columns: dict[str, Any] = {
            "kind": Citation.Kind.TEST, "step": None, "path": "", "line": None, "test": "",
            "quote": clip(citation.quote, 20_000), "is_verified": False, "note": NOT_CHECKED,
        }  # fmt: skip
        if isinstance(citation, StepCitation):
            columns |= {"kind": Citation.Kind.STEP, "step": min(citation.step, MAX_POSITIVE_INTEGER)}
        elif isinstance(citation, FileCitation):
            columns |= {"kind": Citation.Kind.FILE, "path": clip(citation.file, 1024), "line": _line(citation.line)}
        else:
            columns["test"] = clip(citation.verifier_test, 500)
        yield CitationDraft(columns)


def _line(line: int | None) -> int | None:
    return None if line is None else min(line, MAX_POSITIVE_INTEGER)


def _add_checks(reader: Reader, draft: CritiqueDraft) -> None:
    """What running suggested checks came to, for the claims that are there."""
    claims = {f"{CHECKS_FOLDER}/{claim.position}.json": claim for claim in draft.claims}
    for name in check_files(reader.root):
        claim = claims.get(name)
        told = reader.mapping(name, max_bytes=MAX_RECORD_BYTES) if claim else {}
        if claim is None or not told:
            continue
        if told.get("outcome") not in CHECK_OUTCOMES:
            reader.problem(name, "says no outcome of a check")
            continue
        rest = {key: value for key, value in told.items() if key != "outcome"}
        claim.columns |= {"check_outcome": told["outcome"], "check_result": _extra(rest)}


def _add_found(citation: CitationDraft, found: CheckedCitation) -> None:
    citation.columns |= {"is_verified": found.is_verified, "note": clip(found.note, 300)}
    if found.trajectory is not None:
        citation.place = (found.trajectory.path, found.trajectory.fragment)
