"""What code can count about trials, without a model: how each ended, what its agent did, what it took. From the rows.

What is notable about a step is told by its markers; nothing is judged here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Least, Length, Replace

from runs.indexing.causes import RULES
from runs.indexing.payload import unpack
from runs.models import LIVE, Cause, Marker, Status, Step, Trajectory, Trial, seconds_between
from runs.queries import BY_TASK, TRIAL_FLAGS

PASSED: Final = "passed"
PARTIAL: Final = "partial"
FAILED: Final = "failed"
COUNTED: Final = (PASSED, PARTIAL, FAILED)
"""Outcomes that say something of the agent."""
NOT_COUNTED: Final = "not the agent's"
NO_REWARD: Final = "no reward"
PHASES: Final = ("environment_setup", "agent_setup", "agent_execution", "verifier")
N_PARTS: Final = 5
MAX_FILES: Final = 50

Kind = Marker.Kind


@dataclass(frozen=True, slots=True)
class OwnTests:
    """Test runs that the agent made. `n_passed` and `n_failed` are runs; others ended in neither. `last`: in words."""

    n_runs: int = 0
    n_passed: int = 0
    n_failed: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A fifth of the main trajectories, by number of steps. `seconds` lasts until the next one begins."""

    n_steps: int
    n_tool_calls: int
    n_error_steps: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TrialTelemetry:
    """One trial in figures. What is not known is None, never 0."""

    pk: int
    name: str
    task: str
    attempt: int
    agent: str
    status: str
    outcome: str
    reward: float | None
    exception_type: str
    cause: str
    n_steps: int
    n_agent_steps: int
    n_error_steps: int
    n_tool_calls: int
    tools: Mapping[str, int]
    tests: OwnTests
    n_edits: int
    files: Sequence[str]
    """Names of edited files, without their folders, at most MAX_FILES."""
    has_more_files: bool
    peak_context_tokens: int | None
    n_compactions: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    duration_sec: float | None
    phases_sec: Mapping[str, float | None]
    flags: Mapping[str, int]
    """Steps by flag: what a reviewer wants to look at, whether it was wrong or not."""
    markers: Mapping[str, int]
    parts: Sequence[Part]


def telemetry_of(trials: QuerySet[Trial]) -> list[TrialTelemetry]:
    """The figures of each trial, in the order of the job's page; seven queries, however many there are."""
    rows = list(
        trials.order_by(*(key.name for key in BY_TASK)).defer("file_stamps", "problems", "step_results", "rewards")
    )
    seen = _Seen(tools=_tools(trials), errors=_errors(trials), parts=_parts(trials), markers=_markers(trials))
    _read_labels(trials, seen)
    return [_telemetry(trial, seen) for trial in rows]


def outcome_of(trial: Trial) -> str:
    """How a trial ended: a reward that is not the agent's is neither a pass nor a failure of its."""
    if trial.status in LIVE or trial.status == Status.INTERRUPTED:
        return trial.status
    if trial.reward is None:
        return Status.CANCELLED if trial.status == Status.CANCELLED else NO_REWARD
    if trial.reward >= 1:
        return PASSED
    cause = Cause(trial.cause) if trial.cause in Cause.values else None
    if trial.exception_type and (cause is None or not RULES[cause].reward_counts):
        return NOT_COUNTED
    return FAILED if trial.reward <= 0 else PARTIAL


@dataclass(slots=True)
class _Seen:
    """What the queries found, by trial."""

    tools: Mapping[int, Counter[str]]
    errors: Mapping[int, int]
    parts: Mapping[int, Sequence[Part]]
    markers: Mapping[int, Mapping[str, int]]
    tests: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    edits: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def _telemetry(trial: Trial, seen: _Seen) -> TrialTelemetry:
    markers = seen.markers.get(trial.pk, {})
    runs = seen.tests.get(trial.pk, [])
    files, has_more = _files(seen.edits.get(trial.pk, []))
    compactions = trial.summarization_count
    tools = seen.tools.get(trial.pk, Counter())
    return TrialTelemetry(
        pk=trial.pk,
        name=trial.name,
        task=trial.task_name,
        attempt=trial.attempt,
        agent=trial.agent_label,
        status=trial.status,
        outcome=outcome_of(trial),
        reward=trial.reward,
        exception_type=trial.exception_type,
        cause=trial.cause,
        n_steps=trial.n_steps,
        n_agent_steps=trial.n_agent_steps,
        n_error_steps=seen.errors.get(trial.pk, 0),
        n_tool_calls=tools.total(),
        tools=dict(tools.most_common()),
        tests=OwnTests(
            n_runs=len(runs),
            n_passed=sum(tone == Marker.Tone.GOOD for tone, _ in runs),
            n_failed=sum(tone == Marker.Tone.BAD for tone, _ in runs),
            last=runs[-1][1] if runs else "",
        ),
        n_edits=markers.get(Kind.EDIT, 0),
        files=files,
        has_more_files=has_more,
        peak_context_tokens=trial.peak_context_tokens,
        n_compactions=markers.get(Kind.COMPACTION, 0) if compactions is None else compactions,
        input_tokens=trial.n_input_tokens,
        cached_tokens=trial.n_cache_tokens,
        output_tokens=trial.n_output_tokens,
        cost_usd=trial.cost_usd,
        duration_sec=trial.duration_sec,
        phases_sec={phase: getattr(trial, f"{phase}_sec") for phase in PHASES},
        flags={flag.value: markers[flag] for flag in TRIAL_FLAGS if flag in markers},
        markers=dict(markers),
        parts=seen.parts.get(trial.pk, ()),
    )


def _steps(trials: QuerySet[Trial]) -> QuerySet[Step]:
    return Step.objects.filter(trial__in=trials.order_by().values("pk"), is_copied_context=False).order_by()


def _tools(trials: QuerySet[Trial]) -> dict[int, Counter[str]]:
    """Calls by tool: two queries, of which the second reads the few steps whose columns don't tell them apart."""
    n_names = Length("tool_names") - Length(Replace("tool_names", Value(" "))) + 1
    steps = _steps(trials).filter(n_tool_calls__gt=0).annotate(n_names=n_names)
    plain = Q(n_names=1) | Q(n_names=F("n_tool_calls"))
    found: dict[int, Counter[str]] = defaultdict(Counter)
    groups = steps.filter(plain).values_list("trial_id", "tool_names", "n_names")
    for trial_id, names, n, n_steps, n_calls in groups.annotate(Count("pk"), Sum("n_tool_calls")):
        for name in names.split() or ["?"]:
            found[trial_id][name] += n_calls if n == 1 else n_steps
    for trial_id, payload in steps.exclude(plain).values_list("trial_id", "payload").iterator(500):
        found[trial_id].update("_".join(call.name.split()) or "?" for call in unpack(payload).calls)
    return found


def _errors(trials: QuerySet[Trial]) -> dict[int, int]:
    return dict(_steps(trials).filter(has_error=True).values_list("trial_id").annotate(Count("pk")))


def _parts(trials: QuerySet[Trial]) -> dict[int, Sequence[Part]]:
    main = _steps(trials).filter(trajectory__kind=Trajectory.Kind.MAIN, trajectory__n_steps__gt=0)
    part = Least(F("index") * N_PARTS / F("trajectory__n_steps"), Value(N_PARTS - 1))
    groups = main.annotate(part=part).values("trial_id", "part").annotate(
        n_steps=Count("pk"),
        n_tool_calls=Sum("n_tool_calls"),
        n_error_steps=Count("pk", filter=Q(has_error=True)),
        prompt_tokens=Sum("prompt_tokens"),
        completion_tokens=Sum("completion_tokens"),
        cost_usd=Sum("cost_usd"),
        began=Min("at"),
        ended=Max("at"),
    )  # fmt: skip
    by_trial: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for group in groups.order_by("trial_id", "part"):
        by_trial[group["trial_id"]].append(dict(group))
    return {trial_id: list(_in_turn(found)) for trial_id, found in by_trial.items()}


def _in_turn(groups: Sequence[dict[str, Any]]) -> Iterator[Part]:
    ends: list[datetime | None] = [*(group["began"] for group in groups[1:]), groups[-1]["ended"]]
    for group, end in zip(groups, ends, strict=True):
        told = {name: group[name] for name in Part.__slots__ if name != "seconds"}
        yield Part(**told, seconds=seconds_between(group["began"], end))


def _derived(trials: QuerySet[Trial]) -> QuerySet[Marker]:
    return Marker.objects.filter(trial__in=trials.order_by().values("pk"), kind__in=Marker.DERIVED).order_by()


def _markers(trials: QuerySet[Trial]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for trial_id, kind, n in _derived(trials).values_list("trial_id", "kind").annotate(n=Count("pk")).order_by("kind"):
        found[trial_id][kind] = n
    return found


def _read_labels(trials: QuerySet[Trial], seen: _Seen) -> None:
    """What test runs and edits are called, in the order of the steps."""
    labelled = (
        _derived(trials).filter(kind__in=(Kind.TEST, Kind.EDIT)).order_by("trial_id", "trajectory__position", "index")
    )
    for trial_id, kind, tone, label in labelled.values_list("trial_id", "kind", "tone", "label"):
        if kind == Kind.TEST:
            seen.tests[trial_id].append((tone, label))
        else:
            seen.edits[trial_id].append(label)


def _files(labels: Sequence[str]) -> tuple[list[str], bool]:
    """The files that markers of edits name, and whether some of them named more than they show."""
    names: dict[str, None] = {}
    has_more = False
    for label in labels:
        shown, more, _ = label.partition(" and ")
        has_more = has_more or bool(more) or label.endswith("…")
        names.update(dict.fromkeys(name for name in shown.split(", ") if not name.endswith("…")))
    return list(names)[:MAX_FILES], has_more or len(names) > MAX_FILES
