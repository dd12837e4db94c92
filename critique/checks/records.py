"""checks/<claim>.json of a critique: a suggested check that was run, and what came of it."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from critique.formats.contract import Expectation
from runs.errors import FileUnreadable
from runs.files import write_atomically
from runs.formats.dumping import dump_model
from runs.formats.reading import clean_text, read_json
from runs.formats.result import ImageInfo, UtcDatetime
from runs.formats.validation import first_problem

CHECKS_FOLDER: Final = "checks"
MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_REASON_CHARS: Final = 1000
TAIL_CHARS: Final = 4000

type Outcome = Literal["confirmed", "refuted", "not_runnable"]


def _clean(text: object) -> object:
    return clean_text(text) if isinstance(text, str) else text


def _sentence(text: object) -> object:
    return clean_text(text)[:MAX_REASON_CHARS] if isinstance(text, str) else text


class CheckRecord(BaseModel):
    """One run of a suggested check.

    `confirmed`: the command ended as the critic said that it would if the claim were true, and nothing more than that.
    `refuted`: it ran and did not; `reason` says in what. `not_runnable`: it says nothing about the claim, for `reason`.
    `output` is the file with what it printed, beside this one; `tail` the end of that.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal["1"] = "1"
    claim: int = Field(ge=1)
    command: Annotated[str, BeforeValidator(_clean)]
    expect: Expectation
    outcome: Outcome
    reason: Annotated[str, BeforeValidator(_sentence)] = ""
    exit_code: int | None = None
    seconds: float | None = None
    timeout_sec: float
    started_at: UtcDatetime
    finished_at: UtcDatetime
    image: ImageInfo | None = None
    notes: list[Annotated[str, BeforeValidator(_sentence)]] = []
    output: str = ""
    output_bytes: int = 0
    is_cut: bool = False
    tail: Annotated[str, BeforeValidator(_clean)] = ""


def record_path(folder: Path, claim: int) -> Path:
    """Where the record of a claim's check lies in a critique's directory."""
    return folder / CHECKS_FOLDER / f"{claim}.json"


def output_path(folder: Path, claim: int) -> Path:
    """Where what it printed lies."""
    return folder / CHECKS_FOLDER / f"{claim}.txt"


def write_record(folder: Path, record: CheckRecord) -> None:
    """Write it in place of an earlier one."""
    record_path(folder, record.claim).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(record_path(folder, record.claim), dump_model(record, indent=2))


def read_check(folder: Path, claim: int) -> CheckRecord | None:
    """The record of a claim's check, None where it was not run. Raises FileUnreadable."""
    path = record_path(folder, claim)
    if not path.exists() and not path.is_symlink():
        return None
    data = read_json(path, max_bytes=MAX_RECORD_BYTES, lenient=True, within=folder)
    try:
        return CheckRecord.model_validate(data)
    except ValidationError as error:
        raise FileUnreadable(path, f"is not the record of a check ({first_problem(error)})") from None
