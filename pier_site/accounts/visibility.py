"""The one place that says what a reader may see. Every page, search, feed and API query starts here."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from pier_site.accounts.models import Membership, Project, Role, User


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
