"""citations.json of a critique: for each claim's citations, whether code found the quote, and where."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runs.errors import FileUnreadable
from runs.files import write_atomically
from runs.formats.dumping import dump_model
from runs.formats.reading import clean_text, read_json

CITATIONS_FILE: Final = "citations.json"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_NOTE_CHARS: Final = 300


def _note(text: object) -> object:
    if not isinstance(text, str):
        return text
    text = " ".join(clean_text(text).split())
    return text if len(text) <= MAX_NOTE_CHARS else f"{text[: MAX_NOTE_CHARS - 1]}…"


class FoundTrajectory(BaseModel):
    """The trajectory of a cited step: its label, and the path and fragment of its row."""

    model_config = ConfigDict(frozen=True)

    label: str
    path: str
    fragment: str = ""


class CheckedCitation(BaseModel):
    """What code found out about one citation. `claim` and `citation` are positions in critique-result.json, from 1.

    `trajectory` is that of the cited step where there is such a step; `line` is where the quote really begins.
    """

    model_config = ConfigDict(frozen=True)

    claim: int = Field(ge=1)
    citation: int = Field(ge=1)
    kind: Literal["step", "file", "test"]
    is_verified: bool
    note: Annotated[str, BeforeValidator(_note)] = ""
    trajectory: FoundTrajectory | None = None
    line: int | None = None


class CheckedCitations(BaseModel):
    """All citations of a critique, in the order of its claims."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal["1"] = "1"
    citations: list[CheckedCitation] = []

    @property
    def n_unverified(self) -> int:
        """How many quotes were not found."""
        return sum(not citation.is_verified for citation in self.citations)

    def of_claim(self, claim: int) -> Iterator[CheckedCitation]:
        """Those of the claim at a position, in order."""
        return (citation for citation in self.citations if citation.claim == claim)


def write_citations(folder: Path, checked: CheckedCitations) -> None:
    """Write citations.json of a critique's directory."""
    write_atomically(folder / CITATIONS_FILE, dump_model(checked, indent=2))


def read_citations(folder: Path) -> CheckedCitations | None:
    """What was found when the critique was made; None where that is not known, or cannot be read: check them again."""
    try:
        data = read_json(folder / CITATIONS_FILE, max_bytes=MAX_BYTES, lenient=True, within=folder)
        return CheckedCitations.model_validate(data)
    except (FileUnreadable, ValidationError):
        return None
