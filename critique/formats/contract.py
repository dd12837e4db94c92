"""What a critic writes: critique-result.json, Pier's contract (rating, tags, feedback) with claims beside it. Pure."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

RESULT_FILE: Final = "critique-result.json"
MARKDOWN_FILE: Final = "critique-result.md"
EXTRA_FOLDER: Final = "critique-artifacts"
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024
MAX_CLAIMS: Final = 200
MAX_CITATIONS: Final = 20
MAX_CHECKS: Final = 100
MAX_CHECK_SEC: Final = 600.0

type Text = Annotated[str, Field(min_length=1, max_length=20_000)]
type Confidence = Annotated[float, Field(ge=0.0, le=1.0)]


class ContractPart(BaseModel):
    """A part of the contract: keys that it doesn't name are kept, since a rubric may ask for more."""

    model_config = ConfigDict(extra="allow", frozen=True)


class StepCitation(ContractPart):
    """Words of one step. `trajectory` is a label of the rendered text; left out, it is the main trajectory."""

    step: int = Field(ge=1)
    quote: str = Field(max_length=20_000)
    trajectory: str = Field(default="", max_length=255)


class FileCitation(ContractPart):
    """Words of a file, whose path is below /critique/input: `trial/…`, `task/…`, `workspace/…`."""

    file: str = Field(min_length=1, max_length=1024)
    quote: str = Field(max_length=20_000)
    line: int | None = Field(default=None, ge=1)


class VerifierTestCitation(ContractPart):
    """A test of the verifier's report, by its name."""

    verifier_test: str = Field(min_length=1, max_length=500)
    quote: str = Field(default="", max_length=20_000)


def _kind_of_citation(value: Any) -> str | None:
    """Which citation is meant, by the key that only it has; so that a complaint is about that one alone."""
    for key, kind in (("verifier_test", "test citation"), ("file", "file citation"), ("step", "step citation")):
        if key in value if isinstance(value, dict) else hasattr(value, key):
            return kind
    return None


type CitationModel = Annotated[
    Annotated[StepCitation, Tag("step citation")]
    | Annotated[FileCitation, Tag("file citation")]
    | Annotated[VerifierTestCitation, Tag("test citation")],
    Discriminator(
        _kind_of_citation,
        custom_error_type="citation",
        custom_error_message="must have step and quote, file and quote, or verifier_test",
    ),
]


class Expectation(ContractPart):
    """How a command ends if the claim is true. All that is given must hold."""

    exit_code: int | None = Field(default=None, ge=0, le=255)
    output_contains: str | None = Field(default=None, min_length=1, max_length=2_000)
    output_lacks: str | None = Field(default=None, min_length=1, max_length=2_000)

    @model_validator(mode="after")
    def _says_something(self) -> "Expectation":
        if self.exit_code is None and self.output_contains is None and self.output_lacks is None:
            raise ValueError("say exit_code, output_contains or output_lacks")
        return self


class SuggestedCheck(ContractPart):
    """A command for the trial's final state that shows whether the claim is true, run in the working directory."""

    command: str = Field(min_length=1, max_length=8_000)
    expect: Expectation
    timeout_sec: float = Field(default=60.0, gt=0.0, le=MAX_CHECK_SEC)


class ClaimModel(ContractPart):
    """One assertion with its evidence."""

    claim: Text
    category: str = Field(default="", max_length=100)
    severity: Literal["info", "minor", "major", "critical"] = "info"
    confidence: Confidence | None = None
    citations: list[CitationModel] = Field(default=[], max_length=MAX_CITATIONS)
    suggested_check: SuggestedCheck | None = None


class CriterionModel(ContractPart):
    """The verdict on one criterion of a rubric, in the words of pier's and harbor's check."""

    outcome: Literal["pass", "fail", "not_applicable"]
    explanation: str = Field(default="", max_length=20_000)


def with_tags(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `tag`, which may be one or several, as the first of `tags`; it has none where none is given."""
    if not {"tag", "tags"} & document.keys():
        return document
    given = [document.get("tag"), document.get("tags")]
    listed = [one for value in given for one in (value if isinstance(value, list) else [value]) if one]
    return {**{key: value for key, value in document.items() if key != "tag"}, "tags": listed}


class CritiqueResult(ContractPart):
    """critique-result.json. `tag` and `tags` are one list here, in order and without repetition.

    Whether there must be a rating or tags is for the rubric's schema to say: an answer to a question has none.
    """

    rating: Literal["good", "bad"] | None = None
    feedback: Annotated[str, Field(min_length=1, max_length=200_000)]
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=50)
    confidence: Confidence | None = None
    claims: list[ClaimModel] = Field(default=[], max_length=MAX_CLAIMS)
    checks: dict[str, CriterionModel] = Field(default={}, max_length=MAX_CHECKS)

    @model_validator(mode="before")
    @classmethod
    def _tag_is_one_of_tags(cls, data: Any) -> Any:
        return with_tags(data) if isinstance(data, dict) else data

    @field_validator("checks", mode="before")
    @classmethod
    def _few(cls, checks: Any) -> Any:
        """Counted first: each of very many would be complained about."""
        if isinstance(checks, dict) and len(checks) > MAX_CHECKS:
            raise ValueError(f"may have at most {MAX_CHECKS} criteria, and has {len(checks):,}")
        return checks

    @field_validator("tags")
    @classmethod
    def _once_each(cls, tags: list[str]) -> list[str]:
        return list(dict.fromkeys(tags))
