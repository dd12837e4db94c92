"""The one place that says what a reader may see. Every page, search, feed and API query starts here."""

from collections.abc import Callable
from enum import StrEnum

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from pier_site.accounts.models import Membership, Project, Role, User


class Hideable(StrEnum):
    """What an app may hide from some who may see the rest of a trial."""

    MARKER = "runs.Marker"
    CRITIQUE = "critique.Critique"


# What a rule matches is hidden: for each kind of row, in the terms of its own fields.
type Rule = Callable[[User | AnonymousUser], Q]
_rules: dict[Hideable, list[Rule]] = {}


def hide(what: Hideable, rule: Rule) -> None:
    """Hide from a reader the rows that `rule(reader)` matches; called once, from an AppConfig's ready().

    A rule asks the database nothing by itself: it returns conditions, with subqueries where it needs rows.
    """
    _rules.setdefault(what, []).append(rule)


def hidden_from(user: User | AnonymousUser, what: Hideable) -> Q:
    """The rows of one kind that `user` may not see though they may see the trial; none where no rule says so."""
    hidden = Q(pk__in=[])
    for rule in _rules.get(what, ()):
        hidden |= rule(user)
    return hidden


def projects_of(user: User | AnonymousUser) -> QuerySet[Project]:
    """The projects whose jobs `user` may see: all for an active superuser, else those they are a member of."""
    if not user.is_authenticated or not user.is_active:
        return Project.objects.none()
    if user.is_superuser:
        return Project.objects.all()
    return Project.objects.filter(membership__user=user)


def may_run(user: User | AnonymousUser, project: Project) -> bool:
    """Whether `user` may start and stop what runs in the project: its owners."""
    if not user.is_authenticated or not user.is_active:
        return False
    return user.is_superuser or Membership.objects.filter(user=user, project=project, role=Role.OWNER).exists()


def owns_a_project(user: User | AnonymousUser) -> bool:
    """Whether `user` may see what concerns the machine: an active superuser, or the owner of some project."""
    if not user.is_authenticated or not user.is_active:
        return False
    return user.is_superuser or Membership.objects.filter(user=user, role=Role.OWNER).exists()
