"""What earlier executions of a trial left in its directory, and which number the next one has."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from runs.errors import FileUnreadable
from runs.formats.reading import read_json
from runs.formats.result import CANCELLED, TrialResult
from runs.formats.validation import first_problem
from runs.indexing.scan import folders_in
from runs.trial.directory import EXECUTIONS, TrialDirectory


@dataclass(frozen=True, slots=True)
class History:
    """`result` is the one that counts now, None for a trial that has not ended.

    `n_failed` counts the executions that ended with an exception of their own, the one with `result` too: the job's
    retry rules count them. Those that were interrupted or cancelled are none.
    """

    result: TrialResult | None
    next_execution: int
    n_failed: int

    @property
    def exception_type(self) -> str:
        """That of the result, or an empty text."""
        failure = self.result.exception_info if self.result else None
        return failure.exception_type if failure else ""


def history_of(directory: Path) -> History:
    """Read the trial's directory, which need not exist. A torn result counts as none.

    Raises FileUnreadable for a result that says what no result of a trial can say.
    """
    result = _result_in(directory)
    aside = {int(path.name): path for path in folders_in(directory / EXECUTIONS) if path.name.isdecimal()}
    failed = [_result_in(path) for path in aside.values()] + [result]
    latest = max(aside, default=0)
    if _has_files(directory, latest):
        latest = max(latest + 1, (result.execution or 0) if result else 0)
    return History(result, latest + 1, sum(has_failed(earlier) for earlier in failed))


def has_failed(result: TrialResult | None) -> bool:
    """Whether an execution ended with an exception of its own."""
    failure = result.exception_info if result else None
    return failure is not None and failure.exception_type != CANCELLED


def _has_files(directory: Path, latest: int) -> bool:
    """Whether an execution after the latest that was put aside left anything: here, or half-way on its way there."""
    if (directory / EXECUTIONS / f".{latest + 1}").exists():
        return True
    return directory.is_dir() and any(path.name != EXECUTIONS for path in directory.iterdir())


def _result_in(directory: Path) -> TrialResult | None:
    path = TrialDirectory(directory).result
    try:
        data = read_json(path, lenient=True, within=directory)
    except FileUnreadable:
        return None
    try:
        return TrialResult.model_validate(data)
    except ValidationError as error:
        raise FileUnreadable(path, f"is not a trial's result ({first_problem(error)})") from None
