"""Checks the citations of a critique against what the critic was given. Nothing is dropped, and nothing is raised."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from critique.citations.files import INPUT, MAX_FILE_BYTES, Found, Wanted, find_in_file, place_in
from critique.citations.formats import CheckedCitation, CheckedCitations, FoundTrajectory
from critique.citations.quotes import TOO_SHORT, Effort, Quote, quote_of, why_not_found
from critique.citations.steps import CitedStep, check_steps, read_trajectories
from critique.citations.verifier_tests import TestVerdict, VerifierOutput
from critique.formats.contract import (
    CitationModel,
    CritiqueResult,
    FileCitation,
    StepCitation,
    VerifierTestCitation,
)
from runs.errors import FileUnreadable

# Some ten seconds of searching at worst; an ordinary critique takes a thousandth of it.
MAX_EFFORT: Final = 4_000_000_000
TRIAL: Final = "trial"

type Position = tuple[int, int]


def check_citations(
    result: CritiqueResult,
    *,
    input_folder: Path | None,
    trial_directory: Path | None,
    max_effort: int = MAX_EFFORT,
) -> CheckedCitations:
    """Look for every quote where the critic says it is. A citation that does not hold is unverified, with the reason.

    `input_folder` is what the critic was given at /critique/input; where it is gone, files of the trial are looked for
    in `trial_directory`. Reads every cited file, and the trajectories, once.
    """
    effort = Effort(max_effort)
    trial = _trial_of(input_folder, trial_directory)
    cited: dict[Position, CitationModel] = {
        (number, position): citation
        for number, claim in enumerate(result.claims, start=1)
        for position, citation in enumerate(claim.citations, start=1)
    }
    checked = [
        *_steps(cited, trial, effort),
        *_files(cited, input_folder, trial, effort),
        *_tests(cited, trial, effort),
    ]
    return CheckedCitations(citations=sorted(checked, key=lambda one: (one.claim, one.citation)))


def _trial_of(input_folder: Path | None, trial_directory: Path | None) -> Path | None:
    """The trial as the critic saw it, with secrets masked; else as it lies on disk."""
    staged = input_folder / TRIAL if input_folder else None
    return staged if staged and staged.is_dir() else trial_directory


def _steps(cited: dict[Position, CitationModel], trial: Path | None, effort: Effort) -> Iterator[CheckedCitation]:
    found = {place: one for place, one in cited.items() if isinstance(one, StepCitation)}
    if not found:
        return
    asked = [CitedStep(one.trajectory, one.step, one.quote) for one in found.values()]
    verdicts = check_steps(asked, read_trajectories(trial), effort)
    for (claim, citation), verdict in zip(found, verdicts, strict=True):
        there = verdict.trajectory
        place = FoundTrajectory(label=there.label, path=there.path, fragment=there.fragment) if there else None
        yield CheckedCitation(
            claim=claim,
            citation=citation,
            kind="step",
            is_verified=verdict.is_verified,
            note=verdict.note,
            trajectory=place,
        )


def _files(
    cited: dict[Position, CitationModel], input_folder: Path | None, trial: Path | None, effort: Effort
) -> Iterator[CheckedCitation]:
    by_file: dict[str, list[tuple[Position, FileCitation]]] = {}
    for place, one in cited.items():
        if isinstance(one, FileCitation):
            by_file.setdefault(one.file, []).append((place, one))
    for name, citations in by_file.items():
        yield from _of_file(name, citations, input_folder, trial, effort)


def _of_file(
    name: str,
    citations: Sequence[tuple[Position, FileCitation]],
    input_folder: Path | None,
    trial: Path | None,
    effort: Effort,
) -> Iterator[CheckedCitation]:
    """The citations of one file, which is read once."""
    quotes = [quote_of(one.quote) for _, one in citations]
    wanted = [Wanted(quote, one.line) for quote, (_, one) in zip(quotes, citations, strict=True) if quote]
    problem, found = "", iter(list[Found]())
    try:
        found = iter(find_in_file(_place(name, input_folder, trial), wanted, effort))
    except FileUnreadable as error:
        problem = f"the file {error.reason}"
    for quote, (place, one) in zip(quotes, citations, strict=True):
        seen = next(found) if quote and not problem else None
        note = problem or (_note(one, seen, quote, effort) if seen and quote else TOO_SHORT)
        is_verified = seen is not None and seen.is_found
        line = seen.first_line if seen and seen.is_found else None
        yield CheckedCitation(
            claim=place[0], citation=place[1], kind="file", is_verified=is_verified, note=note, line=line
        )


def _note(one: FileCitation, seen: Found, quote: Quote, effort: Effort) -> str:
    if seen.is_found:
        is_there = one.line is None or seen.first_line <= one.line <= seen.last_line
        return "" if is_there else f"found on line {seen.first_line}"
    where = "not in this file" if seen.is_whole else f"not in the first {MAX_FILE_BYTES // 1024**2} MiB of this file"
    return why_not_found(quote, effort) or where


def _place(name: str, input_folder: Path | None, trial: Path | None) -> Path:
    """The file on this machine. Raises FileUnreadable."""
    if input_folder is not None and input_folder.is_dir():
        return place_in(input_folder, name)
    below_trial = name.removeprefix(f"{INPUT}/").removeprefix("./").partition(f"{TRIAL}/")
    if trial is None or below_trial[0] or not below_trial[1]:
        raise FileUnreadable(Path(name), "is not kept: what the critic was given has been removed")
    return place_in(trial, below_trial[2])


def _tests(cited: dict[Position, CitationModel], trial: Path | None, effort: Effort) -> Iterator[CheckedCitation]:
    output = VerifierOutput(trial, effort)
    known: dict[tuple[str, str], TestVerdict] = {}
    for (claim, citation), one in cited.items():
        if not isinstance(one, VerifierTestCitation):
            continue
        asked = (one.verifier_test, one.quote)
        verdict = known[asked] = known.get(asked) or output.check(*asked)
        yield CheckedCitation(
            claim=claim, citation=citation, kind="test", is_verified=verdict.is_verified, note=verdict.note
        )
