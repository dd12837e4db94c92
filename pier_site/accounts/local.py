"""The owner and project of a site that one person runs on their own machine."""

import getpass

from django.db import transaction

from pier_site.accounts.models import Membership, Project, Role, User

DEFAULT_PROJECT_SLUG = "default"


def default_project() -> Project:
    """The project that jobs belong to when nothing else is said; made on first use."""
    project, _ = Project.objects.get_or_create(slug=DEFAULT_PROJECT_SLUG, defaults={"name": "Default"})
    return project


@transaction.atomic
def local_owner() -> User:
    """The person at this machine, as owner of the default project; made on first use, without a password."""
    user, created = User.objects.get_or_create(username=getpass.getuser(), defaults={"is_superuser": True})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(project=default_project(), user=user, defaults={"role": Role.OWNER})
    return user
