"""ATIF 1.0 to 1.8 as Harbor's validator has it: for writing augmented v1.7, and for the strict verdict.

Real files are read by `trajectory_reader`, which forgives what these models don't.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, field_validator, model_validator

from runs.formats.dumping import dump_model, with_numeric_arrays_on_one_line
from runs.formats.validation import problems_of

SchemaVersion = Literal[
    "ATIF-v1.0", "ATIF-v1.1", "ATIF-v1.2", "ATIF-v1.3", "ATIF-v1.4", "ATIF-v1.5", "ATIF-v1.6", "ATIF-v1.7", "ATIF-v1.8"
]
Source = Literal["system", "user", "agent"]
WRITTEN_VERSION: Final = "ATIF-v1.7"
MAX_ERRORS: Final = 50

AudioType = Literal[
    "audio/wav", "audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/flac", "audio/webm", "audio/aiff"
]
# v1.8 reads these as the registered names.
_AUDIO_SPELLINGS: Final = {
    f"audio/{alias}": f"audio/{name}"
    for name, aliases in {
        "wav": ("x-wav", "wave", "vnd.wave"),
        "mpeg": ("mp3", "mpga", "x-mpeg"),
        "mp4": ("m4a", "x-m4a"),
        "aac": ("x-aac",),
        "flac": ("x-flac",),
        "aiff": ("x-aiff",),
    }.items()
    for alias in aliases
}
_AGENT_ONLY: Final = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")


# The first wrong item condemns a list: a hostile file can't ask for a million messages.
type Many[T] = Annotated[list[T], FailFast()]


class AtifModel(BaseModel):
    """An object of the format: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ImageSource(AtifModel):
    """Where an image lies: relative to the trajectory file, absolute, or a URL."""

    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    path: str


class AudioSource(AtifModel):
    """Where a recording lies, and how long it is."""

    media_type: AudioType
    path: str
    duration_sec: float | None = Field(default=None, ge=0)

    @field_validator("media_type", mode="before")
    @classmethod
    def _in_its_registered_spelling(cls, value: Any) -> Any:
        name = value.strip().lower() if isinstance(value, str) else value
        return _AUDIO_SPELLINGS.get(name, name) if isinstance(name, str) else name


class ContentPart(AtifModel):
    """A piece of a message: text, or a file with its kind."""

    type: Literal["text", "image", "audio"]
    text: str | None = None
    source: ImageSource | AudioSource | None = None

    @model_validator(mode="after")
    def _holds_what_its_type_says(self) -> Self:
        if self.type == "text" and (self.text is None or self.source is not None):
            raise ValueError("a text part has 'text' and no 'source'")
        if self.type != "text":
            expected = ImageSource if self.type == "image" else AudioSource
            if self.text is not None or not isinstance(self.source, expected):
                raise ValueError(f"an {self.type} part has an {self.type} 'source' and no 'text'")
        return self


class ToolCall(AtifModel):
    """A call that the model asked for."""

    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] | None = None


class SubagentTrajectoryRef(AtifModel):
    """A delegated run: embedded under its `trajectory_id`, or in a file of its own."""

    trajectory_id: str | None = None
    session_id: str | None = None
    trajectory_path: str | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.trajectory_id is None and self.trajectory_path is None:
            raise ValueError("a subagent reference needs 'trajectory_id' or 'trajectory_path'")
        return self


class ObservationResult(AtifModel):
    """What came back, of a call of the same step or of nobody's."""

    source_call_id: str | None = None
    content: str | Many[ContentPart] | None = None
    subagent_trajectory_ref: Many[SubagentTrajectoryRef] | None = None
    extra: dict[str, Any] | None = None


class Observation(AtifModel):
    """All that came back in a step."""

    results: Many[ObservationResult]


class Metrics(AtifModel):
    """What one step used; prompt tokens include cached ones."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    prompt_token_ids: Many[int] | None = None
    completion_token_ids: Many[int] | None = None
    logprobs: Many[float] | None = None
    extra: dict[str, Any] | None = None


class FinalMetrics(AtifModel):
    """What the whole run used; the cost includes subagents."""

    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = Field(default=None, ge=0)
    extra: dict[str, Any] | None = None


class Agent(AtifModel):
    """Who acted."""

    name: str
    version: str
    model_name: str | None = None
    tool_definitions: Many[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


class Step(AtifModel):
    """One message of the user, the system or the agent, with what the agent called and got."""

    step_id: int = Field(ge=1)
    timestamp: str | None = None
    source: Source
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    message: str | Many[ContentPart]
    reasoning_content: str | None = None
    tool_calls: Many[ToolCall] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = Field(default=None, ge=0)
    extra: dict[str, Any] | None = None

    @field_validator("timestamp")
    @classmethod
    def _is_iso_8601(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.fromisoformat(value.replace("Z", "+00:00"))
            except ValueError:
                raise ValueError(f"timestamp {value[:40]!r} is not ISO 8601") from None
        return value

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if self.source != "agent":
            for name in _AGENT_ONLY:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name!r} belongs to agent steps, not to a {self.source} step")
        if self.llm_call_count == 0 and (self.metrics is not None or self.reasoning_content is not None):
            raise ValueError("a step with llm_call_count 0 has neither metrics nor reasoning_content")
        return self

    @model_validator(mode="after")
    def _results_answer_calls_of_this_step(self) -> Self:
        calls = {call.tool_call_id for call in self.tool_calls or ()}
        for result in self.observation.results if self.observation else ():
            if result.source_call_id is not None and result.source_call_id not in calls:
                raise ValueError(f"source_call_id {result.source_call_id[:60]!r} is no tool call of this step")
        return self


class Header(AtifModel):
    """A trajectory without its steps and embedded subagents."""

    schema_version: SchemaVersion = WRITTEN_VERSION
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: Agent
    notes: str | None = None
    final_metrics: FinalMetrics | None = None
    continued_trajectory_ref: str | None = None
    extra: dict[str, Any] | None = None


class Trajectory(Header):
    """A whole document, valid as Harbor's validator has it (it also looks whether local media files exist)."""

    steps: Annotated[list[Step], Field(min_length=1)]
    subagent_trajectories: list["Trajectory"] | None = None

    @field_validator("steps")
    @classmethod
    def _ids_count_from_one(cls, steps: list[Step]) -> list[Step]:
        complaint = _id_complaint([step.step_id for step in steps])
        if complaint:
            raise ValueError(complaint)
        return steps

    @field_validator("subagent_trajectories")
    @classmethod
    def _subagents_have_ids(cls, subagents: "list[Trajectory] | None") -> "list[Trajectory] | None":
        complaint = _subagent_complaint([subagent.trajectory_id for subagent in subagents or ()])
        if complaint:
            raise ValueError(complaint)
        return subagents


def dump_trajectory(trajectory: Trajectory) -> str:
    """The text of a trajectory.json: indent 2, nulls omitted, arrays of numbers on one line."""
    return with_numeric_arrays_on_one_line(dump_model(trajectory, indent=2, omit_nulls=True)) + "\n"


def strict_errors(data: Any) -> list[str]:
    """Why a parsed document is not valid ATIF, at most `MAX_ERRORS` reasons; empty where it is.

    The verdict is that of `Trajectory`, found step by step: a second copy of a large document is never built.
    """
    errors: list[str] = []
    _collect(data, "", errors)
    return errors[:MAX_ERRORS]


def _collect(data: Any, place: str, errors: list[str]) -> None:
    if not isinstance(data, dict):
        errors.append(f"{place or 'the document'}: should be an object")
        return
    _check(Header, {key: value for key, value in data.items() if key not in _LISTS}, place, errors)
    steps = data.get("steps")
    if not isinstance(steps, list) or not steps:
        errors.append(f"{place}steps: should be a list of at least one step")
        steps = []
    ids: list[int] = []
    for index, step in enumerate(steps):
        if len(errors) >= MAX_ERRORS:
            return
        checked = _check(Step, step, f"{place}steps[{index}].", errors)
        ids += [checked.step_id] if checked else []
    complaint = _id_complaint(ids) if len(ids) == len(steps) else None
    if complaint:
        errors.append(f"{place}steps: {complaint}")
    subagents = data.get("subagent_trajectories")
    if subagents is not None:
        _collect_subagents(subagents, place, errors)


def _collect_subagents(subagents: Any, place: str, errors: list[str]) -> None:
    if not isinstance(subagents, list):
        errors.append(f"{place}subagent_trajectories: should be a list")
        return
    for index, subagent in enumerate(subagents):
        if len(errors) < MAX_ERRORS:
            _collect(subagent, f"{place}subagent_trajectories[{index}].", errors)
    complaint = _subagent_complaint([item.get("trajectory_id") for item in subagents if isinstance(item, dict)])
    if complaint:
        errors.append(f"{place}subagent_trajectories: {complaint}")


def _check[M: AtifModel](model: type[M], value: Any, place: str, errors: list[str]) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors += [f"{place}{problem}" for problem in problems_of(error)]
    except UnicodeEncodeError:  # pydantic's comparison with the words of a Literal trips over one
        errors.append(f"{place.rstrip('.') or 'the document'}: a text holds a lone surrogate")
    return None


def _id_complaint(ids: list[int]) -> str | None:
    for expected, found in enumerate(ids, start=1):
        if found != expected:
            return f"step_id {found} stands where {expected} is expected"
    return None


def _subagent_complaint(ids: list[Any]) -> str | None:
    if any(identifier is None for identifier in ids):
        return "an embedded subagent has no trajectory_id"
    texts = [str(identifier) for identifier in ids]
    return "two embedded subagents have the same trajectory_id" if len(set(texts)) < len(texts) else None


_LISTS: Final = frozenset({"steps", "subagent_trajectories"})
