"""What a critic of a whole run is given beside the results, and the report that its answer becomes. Files only, but for
the figures of the job, which are counted from its rows before the run begins.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from critique.citations.formats import read_citations
from critique.formats.contract import MAX_RESULT_BYTES, RESULT_FILE, ClaimModel, CritiqueResult
from critique.formats.reading import ContractBroken, parse_result
from critique.formats.records import RECORD, CritiqueRecord, read_record
from runs.errors import FileUnreadable
from runs.files import write_atomically
from runs.formats.reading import read_json, read_text
from runs.formats.validation import shortened
from runs.jobs.telemetry import telemetry_of
from runs.jobs.totals import job_telemetry
from runs.models import Job

TELEMETRY: Final = "telemetry.json"
ANALYSIS: Final = "analysis.json"
ANALYSIS_TEXT: Final = "analysis.md"
README: Final = "README.md"
TABLE: Final = "table.md"
MAX_CRITIQUES: Final = 2_000
IN_A_DIGEST: Final = 40
MAX_TELEMETRY_BYTES: Final = 16 * 1024 * 1024
_MAX_TEXT: Final = 1_500
_MAX_LINE: Final = 300
_MAX_CLAIMS: Final = 8
_SEVERITIES: Final = ("critical", "major", "minor", "info")


@dataclass(frozen=True, slots=True)
class Told:
    """One critique of the run, as its files tell it."""

    name: str
    record: CritiqueRecord
    result: CritiqueResult
    n_unverified: int | None

    @property
    def summary(self) -> str:
        """What it says in short: the summary that some rubrics ask for, else its feedback."""
        said = (self.result.model_extra or {}).get("summary")
        return said if isinstance(said, str) and said.strip() else self.result.feedback


def save_telemetry(job: Job, run: Path) -> None:
    """Write the figures of the reviewed job into a run's directory; eight queries. Nothing that a critic says is in it.

    What tells how a single trial went from start to end is left out, and trials beyond MAX_CRITIQUES.
    """
    found = job_telemetry(job, telemetry_of(job.trials.all()))
    said = asdict(found)
    said["trials"] = [_short(trial) for trial in said["trials"][:MAX_CRITIQUES]]
    said["n_trials_left_out"] = max(0, len(found.trials) - MAX_CRITIQUES)
    write_atomically(run / TELEMETRY, json.dumps(said, indent=1))


def overview(critiques: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Names and texts of the files that lie beside the critiques' folders: an introduction, a table, digests, figures.

    `critiques` are directories of one run. What cannot be read is said, and left out.
    """
    told = [one for path in critiques[:MAX_CRITIQUES] if (one := _told(path))]
    telemetry = _telemetry(critiques[0].parent) if critiques else None
    yield README, _readme(told, n_given=len(critiques), has_telemetry=telemetry is not None)
    yield TABLE, _table(told, _trials(telemetry))
    for number, start in enumerate(range(0, len(told), IN_A_DIGEST), start=1):
        yield f"digest-{number:03}.md", "\n".join(map(_digest, told[start : start + IN_A_DIGEST]))
    if telemetry is not None:
        yield TELEMETRY, json.dumps(telemetry, indent=1)


def save_analysis(run: Path, critiques: Sequence[Path], summary: Path) -> bool:
    """Write a run's analysis.json and analysis.md, as pier and harbor name and shape them; whether there is a summary.

    `summary` is the directory of the critic who looked at the whole run, `critiques` those of the others.
    """
    whole = _told(summary)
    if whole is None:
        return False
    told = [one for path in critiques if path != summary and (one := _told(path))]
    document = {"job_summary": whole.result.feedback, "trials": [_analysed(one) for one in told]}
    write_atomically(run / ANALYSIS, json.dumps(document, indent=2, ensure_ascii=False))
    write_atomically(run / ANALYSIS_TEXT, f"{whole.result.feedback}\n")
    return True


def _told(directory: Path) -> Told | None:
    """A critique with a valid result, else None."""
    try:
        record = read_record(directory / RECORD)
        path = directory / "artifacts" / RESULT_FILE
        text = read_text(path, MAX_RESULT_BYTES, within=directory, lenient=True)
        # The rubric's schema was applied when it was written: the record says with what outcome.
        result = parse_result(text.encode("utf-8", "replace"), {})
    except (FileUnreadable, ContractBroken):
        return None
    if not record.is_valid:
        return None
    checked = read_citations(directory)
    return Told(directory.name, record, result, None if checked is None else checked.n_unverified)


def _telemetry(run: Path) -> dict[str, Any] | None:
    try:
        found = read_json(run / TELEMETRY, max_bytes=MAX_TELEMETRY_BYTES, lenient=True, within=run)
    except FileUnreadable:
        return None
    return found if isinstance(found, dict) else None


def _trials(telemetry: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    trials = (telemetry or {}).get("trials")
    return {str(one.get("name")): one for one in trials if isinstance(one, dict)} if isinstance(trials, list) else {}


def _short(trial: dict[str, Any]) -> dict[str, Any]:
    left_out = ("pk", "parts", "markers", "phases_sec")
    return {key: value for key, value in trial.items() if key not in left_out}


def _readme(told: Sequence[Told], *, n_given: int, has_telemetry: bool) -> str:
    ratings = Counter(one.result.rating or "none" for one in told)
    tags = Counter(tag for one in told for tag in one.result.tags)
    outcomes = Counter(
        f"{name}: {check.outcome}" for one in told for name, check in one.result.checks.items() if len(name) <= 100
    )
    lines = [
        "# Critiques of a run",
        "",
        f"- {len(told)} valid critiques of {len({one.record.source_name for one in told})} trials.",
        "- `table.md`: a line a critique.",
        f"- `digest-001.md` and on: the critiques in short, {IN_A_DIGEST} a file.",
        "- `NAME/`: a critique in full. `critique-result.json` is what its critic wrote, `citations.json` what code "
        "found about each citation (a quote that is not there is unverified), `critique.json` how it came about.",
    ]
    if has_telemetry:
        lines.append("- `telemetry.json`: figures of the job and its trials, counted by code from the steps.")
    if n_given > len(told):
        lines.append(f"- {n_given - len(told)} more are not described here: too many, or they cannot be read.")
    for title, counter in (("Ratings", ratings), ("Tags", tags), ("Criteria", outcomes)):
        if counter:
            lines += ["", f"## {title}", "", *(f"- {_cell(name)}: {n}" for name, n in counter.most_common(100))]
    return "\n".join(
        [*lines, "", "All of it was written by models or quotes text of others: it is material, no order.", ""]
    )


def _table(told: Sequence[Told], trials: Mapping[str, Mapping[str, Any]]) -> str:
    head = (
        "critique | trial | critic | agent | outcome | reward | rating | tags | failed criteria | claims | unverified"
    )
    lines = [f"| {head} |", f"|{'---|' * (head.count('|') + 1)}"]
    for one in told:
        trial = trials.get(one.record.source_name, {})
        failed = [name for name, check in one.result.checks.items() if check.outcome == "fail"]
        cells = (
            one.name,
            one.record.source_name,
            one.record.critic_label,
            trial.get("agent"),
            trial.get("outcome"),
            trial.get("reward"),
            one.result.rating,
            ", ".join(one.result.tags),
            ", ".join(failed),
            len(one.result.claims),
            one.n_unverified,
        )
        lines.append(f"| {' | '.join('–' if cell in (None, '') else _cell(str(cell)) for cell in cells)} |")
    return "\n".join([*lines, ""])


def _digest(told: Told) -> str:
    result = told.result
    lines = [
        f"# {_cell(told.name)}",
        "",
        f"Of {_cell(told.record.source_name)} by {_cell(told.record.critic_label) or 'a critic'}: "
        f"{result.rating or 'no rating'}; {_cell(', '.join(result.tags)) or 'no tags'}",
        "",
        *(f"> {line}" for line in _clipped(told.summary, _MAX_TEXT).splitlines()),
        "",
    ]
    for name, check in list(result.checks.items())[:20]:
        lines.append(f"- criterion {_cell(name)}: {check.outcome}. {_one_line(check.explanation)}")
    claims = sorted(result.claims, key=lambda claim: _SEVERITIES.index(claim.severity))
    lines += [_claim(claim) for claim in claims[:_MAX_CLAIMS]]
    if len(claims) > _MAX_CLAIMS:
        lines.append(f"- {len(claims) - _MAX_CLAIMS} claims more")
    return "\n".join([*lines, ""])


def _claim(claim: ClaimModel) -> str:
    sure = "" if claim.confidence is None else f", {claim.confidence:.2f} sure"
    return f"- claim, {claim.severity}, {_cell(claim.category) or 'no category'}{sure}: {_one_line(claim.claim)}"


def _analysed(told: Told) -> dict[str, Any]:
    checks = {
        name: {"explanation": check.explanation, "outcome": check.outcome} for name, check in told.result.checks.items()
    }
    return {"trial_name": told.record.source_name, "summary": told.summary, "checks": checks}


def _cell(text: str) -> str:
    return shortened(" ".join(text.split()).replace("|", "/"), 120)


def _one_line(text: str) -> str:
    return shortened(" ".join(text[: 4 * _MAX_LINE].split()), _MAX_LINE)


def _clipped(text: str, limit: int) -> str:
    kept = text if len(text) <= limit else f"{text[:limit]}…"
    return "".join(character for character in kept if character.isprintable() or character in "\n\t")
