"""Rubric files: TOML, YAML or JSON to a RubricText. Pier's and Harbor's, which hold criteria alone, are read too.

Pure.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from critique.formats.schema import check_schema
from critique.rubrics.schemas import Answer, output_schema
from runs.errors import InputInvalid
from runs.formats.reading import parse_json, parse_toml, read_text
from runs.formats.validation import first_problem, unknown_keys
from runs.formats.yaml_text import parse_yaml

MAX_FILE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 60
SUFFIXES: Final = (".toml", ".yaml", ".yml", ".json")
_FOREIGN: Final = frozenset({"criteria", "subject", "name", "title"})
_NAME: Final = r"^[a-z0-9](?:[a-z0-9_-]{0,78}[a-z0-9])?$"

type Line = Annotated[str, Field(min_length=1, max_length=2_000)]
type Label = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
type SubjectName = Literal["trial", "task", "run"]


class RubricInvalid(InputInvalid):
    """A rubric file cannot be used as it is."""


class Part(BaseModel):
    """A table of a rubric file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Criterion(Part):
    """A question that is answered with pass, fail or not_applicable."""

    name: Label
    description: str = Field(default="", max_length=4_000)
    guidance: str = Field(default="", max_length=8_000)


class Tag(Part):
    """One of the words that a critique is summed up by; `rating`: the only one that goes with it."""

    name: Label
    description: str = Field(default="", max_length=2_000)
    rating: Literal["good", "bad"] | None = None


class Category(Part):
    """A kind of claim."""

    name: Label
    description: str = Field(default="", max_length=2_000)


class Severities(Part):
    """What the four severities of a claim mean here."""

    info: Line
    minor: Line
    major: Line
    critical: Line


class Critic(Part):
    """The critic that is taken where none is named. Without a model, one must be named."""

    agent: str = Field(default="claude-code", min_length=1, max_length=255)
    model: str | None = Field(default=None, min_length=1, max_length=255)
    kwargs: dict[str, Any] = {}
    timeout_sec: float = Field(default=1_800.0, gt=0.0, le=86_400.0)


class RubricFile(Part):
    """A rubric as its file has it."""

    name: str = Field(pattern=_NAME)
    version: int | None = Field(default=None, ge=1, le=1_000_000)
    subject: SubjectName = "trial"
    title: str = Field(min_length=1, max_length=200)
    note: str = Field(default="", max_length=500)
    text: str = Field(min_length=1, max_length=100_000)
    criteria: list[Criterion] = Field(default=[], max_length=100)
    tags: list[Tag] = Field(default=[], max_length=100)
    categories: list[Category] = Field(default=[], max_length=100)
    severities: Severities | None = None
    answer: Answer = Answer()
    output_schema: dict[str, Any] | None = Field(default=None, description="The whole, instead of `answer`.")
    critic: Critic = Critic()


@dataclass(frozen=True, slots=True)
class RubricText:
    """All that a critic gets of a rubric, and how it is called. `version` is 0 where the file leaves it open."""

    name: str
    version: int
    subject: str
    title: str
    text: str
    criteria: tuple[Criterion, ...]
    tags: tuple[Tag, ...]
    output_schema: Mapping[str, Any]
    critic: Mapping[str, Any]
    digest: str
    note: str = ""

    @property
    def label(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"


def read_rubric(path: Path, *, subject: SubjectName = "trial") -> RubricText:
    """The rubric of a file; `subject` is that of a file which does not say. Raises InputInvalid, naming the file."""
    return parse_rubric(read_text(path, MAX_FILE_BYTES), path, subject=subject)


def parse_rubric(text: str, path: Path, *, subject: SubjectName = "trial") -> RubricText:
    """The rubric of a text whose format the suffix of `path` tells. Raises InputInvalid, naming the path."""
    try:
        table = _table(text, path.suffix.lower())
        file = _from_criteria(table, path, subject) if _is_foreign(table) else _checked({"subject": subject} | table)
        return _text_of(file)
    except InputInvalid as error:
        raise RubricInvalid(f"{path}: {error}") from None


def digest_of(parts: Mapping[str, Any]) -> str:
    """`sha256:…` over what a critic is asked and how it answers; names, versions and notes are no part of it."""
    keys = ("subject", "text", "criteria", "tags", "output_schema", "critic")
    canonical = json.dumps({key: parts[key] for key in keys}, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _table(text: str, suffix: str) -> dict[str, Any]:
    if suffix not in SUFFIXES:
        raise RubricInvalid(f"a rubric file ends in {', '.join(SUFFIXES)}")
    if suffix == ".toml":
        value: Any = parse_toml(text)
    else:
        value = parse_json(text) if suffix == ".json" else parse_yaml(text)
    if not isinstance(value, dict):
        raise RubricInvalid("a rubric file holds a table")
    try:
        plain = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a date, a key that is no text, a number that JSON doesn't have
        raise RubricInvalid("it holds a value that JSON doesn't have, such as a date") from None
    table: dict[str, Any] = parse_json(plain, max_depth=MAX_DEPTH, lenient=True)
    return table


def _is_foreign(table: Mapping[str, Any]) -> bool:
    """Whether it is a rubric of pier or harbor: criteria, and nothing that only ours have."""
    return "criteria" in table and table.keys() <= _FOREIGN


def _from_criteria(table: dict[str, Any], path: Path, subject: SubjectName) -> RubricFile:
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:80].strip("-") or "rubric"
    title = path.stem.replace("-", " ").replace("_", " ").strip().capitalize()[:200] or "Rubric"
    said = {"name": name, "title": title, "subject": subject} | table
    if not table["criteria"]:
        raise RubricInvalid("there is no criterion in it")
    return _checked(said | {"text": _CRITERIA_TEXT, "tags": [tag.model_dump() for tag in _CRITERIA_TAGS]})


def _checked(table: dict[str, Any]) -> RubricFile:
    for unknown in unknown_keys(RubricFile, table):
        raise RubricInvalid(unknown.sentence())
    try:
        file = RubricFile.model_validate(table)
    except ValidationError as error:
        raise RubricInvalid(first_problem(error)) from None
    for kind, parts in (("criterion", file.criteria), ("tag", file.tags), ("category", file.categories)):
        names = [part.name for part in parts]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RubricInvalid(f"{kind} {twice} is there twice")
    return file


def _text_of(file: RubricFile) -> RubricText:
    schema = file.output_schema
    if schema is None:
        schema = output_schema(
            answer=file.answer,
            ratings={tag.name: tag.rating for tag in file.tags},
            categories={category.name: category.description for category in file.categories},
            severities=file.severities.model_dump() if file.severities else {},
            criteria=[criterion.name for criterion in file.criteria],
        )
    check_schema(schema)
    parts: dict[str, Any] = {
        "subject": file.subject,
        "text": _whole_text(file),
        "criteria": [criterion.model_dump() for criterion in file.criteria],
        "tags": [tag.model_dump(exclude_none=True) for tag in file.tags],
        "output_schema": schema,
        "critic": file.critic.model_dump(exclude_none=True),
    }
    return RubricText(
        name=file.name,
        version=file.version or 0,
        subject=file.subject,
        title=file.title,
        text=parts["text"],
        criteria=tuple(file.criteria),
        tags=tuple(file.tags),
        output_schema=schema,
        critic=parts["critic"],
        digest=digest_of(parts),
        note=file.note,
    )


def _whole_text(file: RubricFile) -> str:
    """The text with what its categories and severities mean; criteria and tags are told where the prompt is made."""
    blocks = [file.text.strip()]
    if file.categories:
        lines = [f"- `{one.name}`: {one.description}" for one in file.categories]
        blocks.append("\n".join(["## Categories of claims", "", *lines]))
    if file.severities:
        lines = [f"- `{name}`: {meaning}" for name, meaning in file.severities.model_dump().items()]
        blocks.append("\n".join(["## Severity of a claim", "", *lines]))
    return "\n\n".join(blocks) + "\n"


_CRITERIA_TEXT: Final = """\
Judge what you were given by each of the criteria below, one at a time.

For each criterion, first read what bears on it: the instruction and the tests of the task, and, where there is a \
trial, its steps, its result and the output of its verifier. Only then decide:

- `pass`: the evidence shows that the criterion is met.
- `fail`: the evidence shows that it is not. Make a claim for every reason, each with its citations.
- `not_applicable`: it has nothing to do with what you see, or the evidence that it needs is not there. Say which.

The explanation of a check is two to four sentences that name the decisive evidence. Do not fail a criterion for \
something that you only suspect, and do not let the verdict on one criterion colour the next. In `feedback`, sum up \
in a paragraph what somebody who owns this must know.
"""
_CRITERIA_TAGS: Final = (
    Tag(name="ALL_MET", description="No criterion fails.", rating="good"),
    Tag(name="NOT_ALL_MET", description="At least one criterion fails.", rating="bad"),
)
