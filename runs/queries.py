"""What pages and the API read: rows that a person may see, in keyset pages, each in a fixed number of queries."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import BadRequest
from django.db.models import Count, Exists, F, FloatField, Model, OuterRef, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404

from pier_site.accounts.models import User
from runs.models import LIVE, Artifact, Cause, Job, Marker, Status, Step, Trajectory, Trial

Reader = User | AnonymousUser

MAX_LIMIT = 200
MAX_CELLS = 20_000
# Sorts before every real reward or cost: rows without one come last.
NOTHING = -1e300


@dataclass(frozen=True, slots=True)
class Page[T]:
    """One window of a list. `next` is the cursor of the following window, or None at the end."""

    items: Sequence[T]
    next: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order: its name in the queryset, its direction, and how a cursor's value is read back."""

    name: str
    parse: Callable[[Any], Any]
    is_descending: bool = False

    def after(self, value: Any) -> Q:
        """Rows that this column alone puts behind `value`."""
        return Q(**{f"{self.name}__{'lt' if self.is_descending else 'gt'}": value})


def storable(value: Any) -> str:
    """A text of a cursor that every database takes. Raises ValueError."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a cursor's text is a text without NUL")
    value.encode()  # half a surrogate pair is no text
    return value


def _aware(value: Any) -> datetime:
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        raise ValueError("a cursor's time has a zone")
    return parsed


def _cursor_of(row: Model, keys: Sequence[Key]) -> str:
    values = [getattr(row, key.name) for key in keys]
    text = json.dumps([value.isoformat() if isinstance(value, datetime) else value for value in values])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _values_of(cursor: str, keys: Sequence[Key]) -> list[Any]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded))
        return [key.parse(value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, TypeError, binascii.Error, RecursionError, OverflowError) as error:
        raise BadRequest("This page address is damaged: open the list again from its start.") from error


def _beyond(keys: Sequence[Key], values: Sequence[Any]) -> Q:
    """Rows that come after `values` in the order of `keys`."""
    beyond = Q()
    equal = Q()
    for key, value in zip(keys, values, strict=True):
        beyond |= equal & key.after(value)
        equal &= Q(**{key.name: value})
    return beyond


def _order(keys: Sequence[Key]) -> list[str]:
    return [f"-{key.name}" if key.is_descending else key.name for key in keys]


def keyset_page[M: Model](rows: QuerySet[M], keys: Sequence[Key], *, cursor: str = "", limit: int = 50) -> Page[M]:
    """One query: the window of `rows` after `cursor` in the order of `keys`, which together are unique.

    Raises:
        BadRequest: the cursor is not one that this function made for the same order.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    if cursor:
        rows = rows.filter(_beyond(keys, _values_of(cursor, keys)))
    found = list(rows.order_by(*_order(keys))[: limit + 1])
    items = found[:limit]
    return Page(items, _cursor_of(items[-1], keys) if len(found) > limit else None)


NEWEST = (Key("sorted_at", _aware, is_descending=True), Key("id", int, is_descending=True))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What the job list is narrowed to: words of the name or of an agent's label, and a status."""

    search: str = ""
    status: str = ""


def jobs_page(reader: Reader, *, cursor: str = "", limit: int = 50, only: JobFilter | None = None) -> Page[Job]:
    """The jobs that `reader` may see, newest first."""
    jobs = Job.objects.visible_to(reader).runs().defer("config", "problems")
    for word in (only.search if only else "").replace("\0", " ").split()[:8]:
        jobs = jobs.filter(Q(name__icontains=word) | Q(agents__icontains=word))
    if only and only.status in Status.values:
        jobs = jobs.filter(status=only.status)
    return keyset_page(jobs, NEWEST, cursor=cursor, limit=limit)


def get_job_for(reader: Reader, pk: int) -> Job:
    """The job, or Http404 when it does not exist or `reader` may not see it."""
    return get_object_or_404(Job.objects.visible_to(reader).select_related("project"), pk=pk)


BY_TASK = (
    Key("task_name", storable),
    Key("agent_name", storable),
    Key("model_name", storable),
    Key("attempt", int),
    Key("id", int),
)
# What a trial's own exception says of the agent: with these the agent had its chance, and a zero is its own.
AGENTS_OWN = ("", Cause.AGENT, Cause.BUDGET)

_SORTS: dict[str, tuple[Combinable | None, tuple[Key, ...]]] = {
    "task": (None, BY_TASK),
    "newest": (None, (Key("id", int, is_descending=True),)),
    "reward": (Coalesce("reward", Value(NOTHING), output_field=FloatField()), ()),
    "cost": (Coalesce("cost_usd", Value(NOTHING), output_field=FloatField()), ()),
    "steps": (F("n_steps"), ()),
}
_BY_RANK = (Key("rank", float, is_descending=True), Key("id", int))
TRIAL_SORTS = tuple(_SORTS)
TRIAL_FILTERS = ("all", "failed", "exceptions", "running")
# Markers that a reviewer of a benchmark looks for among trials. Rules find them; whether it was wrong is not said.
TRIAL_FLAGS = (
    Marker.Kind.HIDDEN_READ,
    Marker.Kind.TEST_EDIT,
    Marker.Kind.HISTORY,
    Marker.Kind.REFUSED,
    Marker.Kind.REPEAT,
    Marker.Kind.UNTESTED,
)
ANY = Q()


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """What a job's trials are narrowed to and how they are ordered; unknown words mean the defaults."""

    show: str = "all"
    sort: str = "task"
    search: str = ""


def _narrowed(trials: QuerySet[Trial], only: TrialFilter) -> QuerySet[Trial]:
    if only.show == "failed":
        trials = trials.filter(reward__lt=1, cause__in=AGENTS_OWN)
    elif only.show == "exceptions":
        trials = trials.exclude(exception_type="")
    elif only.show == "running":
        trials = trials.filter(status__in=LIVE)
    for word in only.search.replace("\0", " ").split()[:8]:
        trials = trials.filter(
            Q(task_name__icontains=word) | Q(agent_name__icontains=word) | Q(model_name__icontains=word)
        )
    return trials


def flagged(reader: Reader, flag: str) -> Q:
    """Trials with a marker of the kind `flag` that `reader` may see; any trial where it is not one of TRIAL_FLAGS."""
    if flag not in TRIAL_FLAGS:
        return ANY
    return Q(Exists(Marker.objects.visible_to(reader).filter(trial=OuterRef("pk"), kind=flag)))


def flag_counts(reader: Reader, job: Job) -> list[tuple[Marker.Kind, int]]:
    """How many of the job's trials have each flag that any of them has; one query."""
    markers = Marker.objects.visible_to(reader).filter(trial__job=job, kind__in=TRIAL_FLAGS)
    counts = dict(markers.order_by().values_list("kind").annotate(Count("trial", distinct=True)))
    return [(flag, counts[flag]) for flag in TRIAL_FLAGS if flag in counts]


def trials_page(
    job: Job, *, cursor: str = "", limit: int = 50, only: TrialFilter | None = None, where: Q = ANY
) -> Page[Trial]:
    """A job's trials `where` it holds: by task, agent and attempt unless `only` says otherwise."""
    only = only or TrialFilter()
    trials = _narrowed(job.trials.filter(where).defer("file_stamps", "problems", "step_results"), only)
    rank, keys = _SORTS.get(only.sort, _SORTS["task"])
    if rank is not None:
        trials, keys = trials.annotate(rank=rank), _BY_RANK
    return keyset_page(trials, keys, cursor=cursor, limit=limit)


def get_trial_for(reader: Reader, pk: int) -> Trial:
    """The trial with its job, or Http404 when it does not exist or `reader` may not see it."""
    return get_object_or_404(Trial.objects.visible_to(reader).select_related("job"), pk=pk)


def neighbours(trial: Trial) -> tuple[int | None, int | None]:
    """Ids of the previous and the next trial of the job, in the order of its page; two queries."""
    here = [getattr(trial, key.name) for key in BY_TASK]
    back = [Key(key.name, key.parse, is_descending=True) for key in BY_TASK]
    ids = trial.job.trials.values_list("pk", flat=True)
    before = ids.filter(_beyond(back, here)).order_by(*_order(back)).first()
    after = ids.filter(_beyond(BY_TASK, here)).order_by(*_order(BY_TASK)).first()
    return before, after


def tasks_page(job: Job, *, cursor: str = "", limit: int = 50, where: Q = ANY) -> Page[str]:
    """Names of the tasks of the job's trials `where` it holds, in order; `next` is the last name shown."""
    names = job.trials.filter(where)
    if cursor:
        names = names.filter(task_name__gt=cursor.replace("\0", ""))
    found = list(names.order_by("task_name").values_list("task_name", flat=True).distinct()[: limit + 1])
    return Page(found[:limit], found[limit - 1] if len(found) > limit else None)


def trials_of_tasks(job: Job, tasks: Sequence[str], *, where: Q = ANY) -> list[Trial]:
    """Trials of a window of consecutive `tasks`, in the order of the grid, at most MAX_CELLS; only what cells show."""
    if not tasks:
        return []
    cells = job.trials.only(
        "id", "name", "task_name", "agent_name", "model_name", "attempt", "status", "phase", "reward",
        "exception_type", "cause", "started_at", "finished_at",
    )  # fmt: skip
    window = cells.filter(where, task_name__gte=tasks[0], task_name__lte=tasks[-1])
    return list(window.order_by(*_order(BY_TASK))[:MAX_CELLS])


def trajectories_of(trial: Trial) -> list[Trajectory]:
    """The trial's trajectory documents in reading order, at most 500."""
    return list(trial.trajectories.order_by("position")[:500])


def get_trajectory_for(reader: Reader, pk: int) -> Trajectory:
    """The trajectory with its trial and job, or Http404."""
    visible = Trial.objects.visible_to(reader)
    return get_object_or_404(Trajectory.objects.select_related("trial__job").filter(trial__in=visible), pk=pk)


def steps_after(trajectory: Trajectory, *, cursor: int = -1, limit: int = 50) -> Page[Step]:
    """Steps whose index is above `cursor`, in order; `next` is the last index shown, as text."""
    limit = max(1, min(limit, MAX_LIMIT))
    found = list(trajectory.steps.filter(index__gt=cursor).order_by("index")[: limit + 1])
    items = found[:limit]
    return Page(items, str(items[-1].index) if len(found) > limit else None)


def artifacts_page(trial: Trial, *, cursor: str = "", limit: int = 100) -> Page[Artifact]:
    """What the trial left, by path."""
    return keyset_page(trial.artifacts.all(), (Key("path", storable), Key("id", int)), cursor=cursor, limit=limit)
