"""Parts of a trial's page for the pages of other apps, which don't know how they are made."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.template.context import Context

from runs.models import Trajectory, Trial
from runs.queries import trajectories_of
from viewer.cards import subagents_of
from viewer.narrowing import Narrowing
from viewer.trajectories import labels_of
from viewer.views.trial import head_context
from viewer.windows import Place, StepRenderer, window_at

register = template.Library()


@register.inclusion_tag("viewer/_trial_head.html", takes_context=True)
def trial_head(context: Context, trial: Trial, tab: str) -> dict[str, Any]:
    """The header of a trial with its tabs; `tab` is the one that the page is. Four queries."""
    return head_context(context["request"].user, trial, tab)


@register.inclusion_tag("viewer/_steps.html", takes_context=True)
def trial_steps(context: Context, trial: Trial, chosen: Trajectory, here: str, number: int = 0) -> dict[str, Any]:
    """A window of steps of one of the trial's trajectories, at a step's number or where the address says.

    `here` is the page's address without a place, from the question mark on. Six queries.
    """
    place = Place("at", number - 1) if number else Place.of(context["request"].GET)
    renderer = StepRenderer(trial, chosen, subagents_of(trajectories_of(trial)))
    window = window_at(place, chosen.steps.all(), renderer)
    return {"trial": trial, "chosen": chosen, "window": window, "here": here, "only": Narrowing(), "part": ""}


@register.filter
def labelled(trajectories: Sequence[Trajectory]) -> list[tuple[Trajectory, str]]:
    """Each trajectory of a trial with what people call it."""
    labels = labels_of(trajectories)
    return [(trajectory, labels[trajectory.pk]) for trajectory in trajectories]
