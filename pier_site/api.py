"""The REST API at /api/: the read functions of the pages in other clothes. Bearer token or the browser's session."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from ninja import Field, NinjaAPI, Query, Schema
from ninja.security import django_auth

from critique.api import router as critique_router
from pier_site.accounts.auth import BearerToken
from pier_site.api_parts import ERRORS, Cursor, Limit, reader_of
from runs.indexing.payload import unpack
from runs.models import Step
from runs.queries import (
    JobFilter,
    TrialFilter,
    flagged,
    get_job_for,
    get_trajectory_for,
    get_trial_for,
    jobs_page,
    steps_after,
    trajectories_of,
    trials_page,
)


class JobOut(Schema):
    """A job. `mean_reward` is over the `n_rewarded` trials that have a reward."""

    id: int
    name: str
    uuid: str
    origin: str
    status: str
    directory: str
    started_at: datetime | None
    finished_at: datetime | None
    n_trials: int
    n_finished: int
    n_running: int
    n_exceptions: int
    n_rewarded: int
    mean_reward: float | None
    cost_usd: float | None
    agents: list[Any]


class TrialOut(Schema):
    """A trial. `reward` is the headline reward: null means that there is none, not zero."""

    id: int
    job_id: int
    name: str
    uuid: str
    status: str
    phase: str
    task_name: str
    source: str
    attempt: int
    execution: int
    agent_name: str
    agent_version: str
    model_name: str
    model_provider: str
    sandbox: str
    reward: float | None
    rewards: Any
    exception_type: str
    exception_message: str
    cause: str
    started_at: datetime | None
    finished_at: datetime | None
    environment_setup_sec: float | None
    agent_setup_sec: float | None
    agent_execution_sec: float | None
    verifier_sec: float | None
    n_input_tokens: int | None
    n_cache_tokens: int | None
    n_output_tokens: int | None
    cost_usd: float | None
    n_steps: int


class TrajectoryOut(Schema):
    """One trajectory document of a trial."""

    id: int
    trial_id: int
    parent_id: int | None
    kind: str
    position: int
    task_step: str
    path: str
    trajectory_id: str
    schema_version: str
    agent_name: str
    model_name: str
    n_steps: int
    is_valid: bool
    warnings: list[Any]


class StepOut(Schema):
    """One step; `step` is the step's ATIF object as the file had it."""

    index: int
    step_id: int
    source: str
    at: datetime | None
    has_error: bool
    is_copied_context: bool
    step: dict[str, Any] = Field(default_factory=dict)

    @staticmethod
    def resolve_step(row: Step) -> dict[str, Any]:
        """The stored JSON."""
        return unpack(bytes(row.payload)).raw


class JobPage(Schema):
    """A window of jobs, newest first."""

    items: list[JobOut]
    next: str | None


class TrialPage(Schema):
    """A window of a job's trials."""

    items: list[TrialOut]
    next: str | None


class StepPage(Schema):
    """A window of a trajectory's steps, in order."""

    items: list[StepOut]
    next: str | None


# Ninja's interactive docs load scripts from elsewhere, which the site never does: /api/openapi.json is there to read.
api = NinjaAPI(title="Pier Site", version="1", docs_url=None, auth=[BearerToken(), django_auth], urls_namespace="api")


@api.exception_handler(BadRequest)
def bad_request(request: HttpRequest, error: BadRequest) -> HttpResponse:
    """A damaged cursor."""
    return api.create_response(request, {"detail": str(error)}, status=400)


@api.get("/jobs", response={200: JobPage, **ERRORS})
def list_jobs(request: HttpRequest, after: Cursor = "", limit: Limit = 50, q: str = "", status: str = "") -> Any:
    """Jobs of your projects, newest first; `q` is searched in names and agents."""
    return jobs_page(reader_of(request), cursor=after, limit=limit, only=JobFilter(search=q[:200], status=status))


@api.get("/jobs/{int:pk}", response={200: JobOut, **ERRORS})
def get_job(request: HttpRequest, pk: int) -> Any:
    """One job."""
    return get_job_for(reader_of(request), pk)


@api.get("/jobs/{int:pk}/trials", response={200: TrialPage, **ERRORS})
def list_trials(
    request: HttpRequest,
    pk: int,
    after: Cursor = "",
    limit: Limit = 50,
    show: str = "all",
    sort: str = "task",
    flag: str = "",
) -> Any:
    """A job's trials; `show` is all, failed, exceptions or running, `sort` is task, newest, reward, cost or steps.

    With `flag` only those with a marker of that kind: hidden_read, test_edit, history, refused, repeat or untested.
    """
    reader = reader_of(request)
    where = flagged(reader, flag)
    only = TrialFilter(show=show, sort=sort)
    return trials_page(get_job_for(reader, pk), cursor=after, limit=limit, only=only, where=where)


@api.get("/trials/{int:pk}", response={200: TrialOut, **ERRORS})
def get_trial(request: HttpRequest, pk: int) -> Any:
    """One trial."""
    return get_trial_for(reader_of(request), pk)


@api.get("/trials/{int:pk}/trajectories", response={200: list[TrajectoryOut], **ERRORS})
def list_trajectories(request: HttpRequest, pk: int) -> Any:
    """The trial's trajectory documents in reading order."""
    return trajectories_of(get_trial_for(reader_of(request), pk))


@api.get("/trajectories/{int:pk}/steps", response={200: StepPage, **ERRORS})
def list_steps(
    request: HttpRequest, pk: int, after: Annotated[int, Query(ge=-1, lt=2**31)] = -1, limit: Limit = 50
) -> Any:
    """Steps whose index is above `after`, in order."""
    return steps_after(get_trajectory_for(reader_of(request), pk), cursor=after, limit=limit)


api.add_router("", critique_router)


def _without_login_form(patterns: Sequence[URLPattern | URLResolver]) -> None:
    """API routes answer 401 by themselves; a redirect to the login form would be no answer to a program."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            login_not_required(pattern.callback)


urls = api.urls
_without_login_form(urls[0])
