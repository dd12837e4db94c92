"""The verdict on a trajectory file, plain or gzipped, with every reason: what `pieratif validate` prints."""

from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from runs.errors import FileUnreadable, TrajectoryInvalid
from runs.formats.reading import MAX_JSON_BYTES, JsonInvalid, parse_json, read_text
from runs.formats.trajectory import MAX_ERRORS, strict_errors
from runs.formats.trajectory_quality import FileExists, Finding, missing_media, quality_of
from runs.formats.trajectory_reader import ReadTrajectory, read_trajectory

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One reason in a sentence. `code` is that of a finding, or `file`, `schema` or `forgiven`."""

    code: str
    message: str
    step_id: int | None = None
    trajectory_id: str | None = None

    def sentence(self) -> str:
        """The complaint with its place, for people."""
        inside = f"sub-agent {self.trajectory_id}, " if self.trajectory_id else ""
        place = f"step {self.step_id}: " if self.step_id is not None else ""
        return f"{inside}{place}{self.message} [{self.code}]"


@dataclass(slots=True)
class Verdict:
    """What became of one file. Warnings change nothing about `valid`."""

    path: Path
    schema_version: str = ""
    n_steps: int = 0
    errors: list[Complaint] = field(default_factory=list)
    warnings: list[Complaint] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return not self.errors


def validate_file(path: Path, *, strict: bool = False) -> Verdict:
    """The verdict on one file: valid is what can be read as ATIF, or with `strict` what Harbor's validator accepts.

    Never raises: what can't be read is an error of the file. Local media and trajectory files are looked for.
    """
    verdict = Verdict(path)
    try:
        data = parse_json(_text(path, strict=strict), lenient=not strict)
    except (FileUnreadable, JsonInvalid) as error:
        reason = error.reason if isinstance(error, FileUnreadable) else str(error)
        verdict.errors.append(Complaint("file", reason))
        return verdict
    try:
        read = read_trajectory(data)
    except TrajectoryInvalid as error:
        reasons = strict_errors(data) if strict else []
        verdict.errors += [Complaint("schema", reason) for reason in reasons or [str(error)]]
        return verdict
    verdict.schema_version = read.schema_version or ""
    verdict.n_steps = len(read.steps)
    _judge(read, verdict, strict=strict)
    return verdict


def _judge(read: ReadTrajectory, verdict: Verdict, *, strict: bool) -> None:
    """Errors and warnings about a document that can be read."""
    schema = [Complaint("schema", error) for error in read.errors]
    warnings = [Complaint("forgiven", warning) for warning in read.warnings]
    findings = quality_of(read, file_exists=_beside(verdict.path.parent))
    if strict:
        # Harbor takes paths literally, and doesn't look into embedded documents.
        literal = cache(lambda name: exists(verdict.path.parent / name))
        missing = islice(missing_media(read, literal), MAX_ERRORS)
        verdict.errors = [*schema, *map(_complaint, missing)]
        findings = [found for found in findings if found.code != "missing-media" or found.trajectory_id is not None]
    else:
        warnings = [*schema, *warnings]
    verdict.warnings = [*warnings, *map(_complaint, findings)]


def _complaint(finding: Finding) -> Complaint:
    return Complaint(finding.code, finding.message, finding.step_id, finding.trajectory_id)


def _beside(folder: Path) -> FileExists:
    """Whether a file lies where the document says, or, if that is a path of the sandbox, beside the document."""

    def found(name: str) -> bool:
        if name.startswith("data:"):
            return True
        places = [folder / name, folder / f"{name}.gz"]
        if name.startswith("/"):
            places.append(folder / Path(name).name)
        return any(exists(place) for place in places)

    return found


def exists(path: Path) -> bool:
    """Whether there is anything at the path; False also for one that can't be a file's."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _text(path: Path, *, strict: bool) -> str:
    """The text of the file, unpacked. Raises `FileUnreadable`."""
    text = read_text(path, MAX_JSON_BYTES, lenient=not strict)
    if strict and path.suffix != ".gz":
        with path.open("rb") as file:
            if file.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK:
                raise FileUnreadable(path, "begins with a byte order mark, which JSON doesn't allow")
    return text


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as `--json` prints it."""
    return {
        "path": str(verdict.path),
        "valid": verdict.valid,
        "schema_version": verdict.schema_version,
        "steps": verdict.n_steps,
        "errors": [_as_json(complaint) for complaint in verdict.errors],
        "warnings": [_as_json(complaint) for complaint in verdict.warnings],
    }


def _as_json(complaint: Complaint) -> dict[str, Any]:
    return {
        "code": complaint.code,
        "step_id": complaint.step_id,
        "trajectory_id": complaint.trajectory_id,
        "message": complaint.message,
    }
