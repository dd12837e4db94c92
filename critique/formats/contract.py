"""What a critic writes: critique-result.json, Pier's contract (rating, tags, feedback) with claims beside it. Pure."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

RESULT_FILE: Final = "critique-result.json"
MARKDOWN_FILE: Final = "critique-result.md"
EXTRA_FOLDER: Final = "critique-artifacts"
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024
MAX_CLAIMS: Final = 200
MAX_CITATIONS: Final = 20
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


type CitationModel = StepCitation | FileCitation | VerifierTestCitation


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


class CritiqueResult(ContractPart):
    """critique-result.json. `tag` and `tags` are one list here, in order and without repetition."""

    rating: Literal["good", "bad"]
    feedback: Text
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=50)
    confidence: Confidence | None = None
    claims: list[ClaimModel] = Field(default=[], max_length=MAX_CLAIMS)
    checks: dict[str, CriterionModel] = Field(default={}, max_length=100)

    @model_validator(mode="before")
    @classmethod
    def _tag_is_a_list_of_one(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = [data.get("tag"), data.get("tags")]
        listed = [one for value in given for one in (value if isinstance(value, list) else [value]) if one is not None]
        return {**{key: value for key, value in data.items() if key != "tag"}, "tags": listed}

    @field_validator("tags")
    @classmethod
    def _once_each(cls, tags: list[str]) -> list[str]:
        return list(dict.fromkeys(tags))
