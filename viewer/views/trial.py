"""The page of one trial: its header, and one view a tab."""

import json
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from pier_site.accounts.visibility import may_run
from runs.indexing.payload import unpack
from runs.indexing.values import mapping
from runs.models import Status, Step, Trial, seconds_between
from runs.queries import Reader, artifacts_page, get_trial_for, neighbours, trajectories_of
from viewer.cards import ALONE_CHARS, card_of, subagents_of
from viewer.ctrf import read_ctrf
from viewer.files import list_files, read_text
from viewer.network import read_network, read_policy
from viewer.outcome import outcome_of
from viewer.recording import recordings_of
from viewer.rendering.cutting import cut
from viewer.repeat import repeat_of
from viewer.result import remarks_on
from viewer.services import service_logs
from viewer.tree import tree_of

MAX_PAGE_BYTES = 950_000
MAX_FILES = 1_000
# So many where their names are too long for a page.
FEW_FILES = 30


def trial_context(request: HttpRequest, pk: int, tab: str) -> tuple[Trial, dict[str, Any]]:
    """The trial and what its header needs on every tab."""
    trial = get_trial_for(request.user, pk)
    return trial, head_context(request.user, trial, tab) | {"remarks": remarks_on(trial, request.user)}


def head_context(reader: Reader, trial: Trial, tab: str) -> dict[str, Any]:
    """What the header of a trial needs on the tab of that name; four queries."""
    previous, following = neighbours(trial)
    rewards = list(trial.rewards.items())[:40] if isinstance(trial.rewards, dict) else []
    end = timezone.now() if trial.is_live else trial.finished_at
    return {
        "trial": trial,
        "job": trial.job,
        "outcome": outcome_of(trial),
        "may_cancel": trial.is_live and may_run(reader, trial.job.project),
        "tab": tab,
        "previous": previous,
        "following": following,
        "elapsed_sec": seconds_between(trial.started_at, end),
        "rewards": rewards,
        "more_rewards": [(name, value) for name, value in rewards if name != "reward"],
        "cached_percent": _percent(trial.n_cache_tokens, trial.n_input_tokens),
        "has_recording": bool(recordings_of(trial)),
        "task_steps": [step for step in trial.step_results[:200] if isinstance(step, dict)],
    }


def _percent(part: int | None, whole: int | None) -> int | None:
    return round(100 * part / whole) if part is not None and whole else None


@require_safe
def trial_head(request: HttpRequest, pk: int) -> HttpResponse:
    """The header alone: what a running trial's page asks for again and again."""
    _, context = trial_context(request, pk, request.GET.get("tab", "trajectory"))
    return render(request, "viewer/_trial_head.html", context)


@require_safe
def step_detail(request: HttpRequest, pk: int, trajectory_pk: int, number: int) -> HttpResponse:
    """One step, uncut within the limit of a page, with its JSON as it was read."""
    trial, context = trial_context(request, pk, "trajectory")
    chosen = get_object_or_404(trial.trajectories, pk=trajectory_pk)
    step = get_object_or_404(chosen.steps, index=number - 1)
    card = card_of(step, before=None, subagents=subagents_of(trajectories_of(trial)), is_alone=True)
    context |= {
        "chosen": chosen,
        "number": number,
        "card": card,
        "raw": cut(json.dumps(raw_of(step), ensure_ascii=False, indent=2), max_chars=ALONE_CHARS),
    }
    # The raw form is what is left then.
    return within_page(request, "viewer/step.html", context, {"card": None})


def within_page(request: HttpRequest, template: str, context: dict[str, Any], *less: dict[str, Any]) -> HttpResponse:
    """The page; while it is above MAX_PAGE_BYTES, with one after another of these changes to its context.

    Escapes and colours can make a text many times longer, so that only what was rendered tells its size.
    """
    page = render(request, template, context)
    for changes in less:
        if len(page.content) < MAX_PAGE_BYTES:
            break
        context = context | changes
        page = render(request, template, context)
    return page


def raw_of(step: Step) -> dict[str, Any]:
    """The step's JSON as the file had it."""
    return unpack(bytes(step.payload)).raw


@require_safe
def verifier(request: HttpRequest, pk: int) -> HttpResponse:
    """Rewards, tests and output of the verifier; of one TaskStep when `?step=` names it."""
    trial, context = trial_context(request, pk, "verifier")
    names = [str(step.get("step_name", ""))[:255] for step in context["task_steps"]]
    chosen = request.GET.get("step", "")
    if chosen and chosen not in names:
        raise Http404("This trial has no such step.")
    folder = f"steps/{chosen}/verifier" if chosen else "verifier"
    context |= {
        "names": names,
        "chosen": chosen,
        "tests": read_ctrf(trial, f"{folder}/ctrf.json"),
        "output": read_text(trial, f"{folder}/test-stdout.txt"),
        "details": read_text(trial, f"{folder}/reward-details.json"),
        "files": list_files(trial, folder),
    }
    tests, left_out = context["tests"], ["reward-details.json", "test-stdout.txt"]
    return within_page(
        request,
        "viewer/verifier.html",
        context,
        {"details": None, "left_out": left_out[:1]},
        {"tests": tests and tests.shortened()},
        {"output": None, "left_out": left_out},
    )


@require_safe
def artifacts(request: HttpRequest, pk: int) -> HttpResponse:
    """What the trial left."""
    trial, context = trial_context(request, pk, "artifacts")
    cursor = request.GET.get("after", "")
    page = artifacts_page(trial, cursor=cursor)
    answer = render(request, "viewer/artifacts.html", context | {"page": page, "rows": list(tree_of(page.items))})
    if len(answer.content) < MAX_PAGE_BYTES:
        return answer
    page = artifacts_page(trial, cursor=cursor, limit=20)
    return render(request, "viewer/artifacts.html", context | {"page": page, "rows": list(tree_of(page.items))})


@require_safe
def logs(request: HttpRequest, pk: int) -> HttpResponse:
    """trial.log, and the files that the agent's side wrote."""
    trial, context = trial_context(request, pk, "logs")
    folders = ["agent", *(f"steps/{step.get('step_name', '')}/agent" for step in context["task_steps"][:20])]
    context |= {
        "log": read_text(trial, "trial.log"),
        "files": [entry for folder in folders for entry in list_files(trial, folder)][:MAX_FILES],
        "services": service_logs(trial),
    }
    links, files = [replace(log, file=None) for log in context["services"]], context["files"]
    few = {"files": files[:FEW_FILES], "n_more_files": max(0, len(files) - FEW_FILES)}
    return within_page(request, "viewer/logs.html", context, {"services": links}, few)


@require_safe
def network(request: HttpRequest, pk: int) -> HttpResponse:
    """What the trial may reach, and what it asked for."""
    trial, context = trial_context(request, pk, "network")
    context |= {"policy": read_policy(trial), "log": read_network(trial)}
    context["is_open"] = any("open" in words for _, words in context["policy"])
    log = context["log"]
    return within_page(request, "viewer/network.html", context, {"log": log and log.shortened()})


@require_safe
def config(request: HttpRequest, pk: int) -> HttpResponse:
    """config.json, tidied when it is JSON."""
    trial, context = trial_context(request, pk, "config")
    file = read_text(trial, "config.json")
    text = file.head if file else ""
    value: object = None
    if file and not file.missing_bytes:
        try:
            value = json.loads(text)
            text = json.dumps(value, ensure_ascii=False, indent=2)[:ALONE_CHARS]
        except (ValueError, RecursionError):
            text = file.head  # shown as it is: people come here to see what is wrong with it
    context |= {"file": file, "text": text, "repeat": repeat_of(trial, mapping(value))}
    return render(request, "viewer/config.html", context)


@require_safe
def exception(request: HttpRequest, pk: int) -> HttpResponse:
    """The exception with its traceback."""
    trial, context = trial_context(request, pk, "exception")
    if not trial.exception_type:
        raise Http404("This trial ended without an exception.")
    context |= {"file": read_text(trial, "exception.txt"), "interrupted": trial.status == Status.INTERRUPTED}
    return render(request, "viewer/exception.html", context)
