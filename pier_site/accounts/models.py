"""Who may use the site and what they may see: users, projects, memberships, tokens. Knows nothing of trials."""

import hashlib
import secrets
from datetime import timedelta
from typing import Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

LOGIN_LINK_LIFE = timedelta(hours=12)


def digest(secret: str) -> str:
    """What is stored of a token or a link: it is random and long, so a plain SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


class User(AbstractUser):
    """A person, or a service that holds tokens."""


class Project(models.Model):
    """What a team shares: jobs belong to one project, people are its members."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        User, through="Membership", related_name="projects"
    )

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do: viewers read, reviewers also annotate, owners also run, delete and invite."""

    OWNER = "owner"
    REVIEWER = "reviewer"
    VIEWER = "viewer"


class Membership(models.Model):
    """One person's role in one project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.project_id}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Questions about tokens."""

    def usable(self, secret: str) -> Self:
        """The token with this secret, if it has not run out."""
        now = timezone.now()
        return self.filter(digest=digest(secret), user__is_active=True).filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=now)
        )


class ApiToken(models.Model):
    """A bearer token of the REST API. Only its digest is kept; the secret is shown once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, help_text="The first characters, to tell tokens apart in a list.")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(cls, user: User, name: str, *, life: timedelta | None = None) -> tuple["ApiToken", str]:
        """Make a token; the secret is returned here and can never be read again."""
        secret = f"pier_{secrets.token_urlsafe(32)}"
        expires_at = timezone.now() + life if life else None
        token = cls.objects.create(
            user=user, name=name, prefix=secret[:12], digest=digest(secret), expires_at=expires_at
        )
        return token, secret


class LoginLink(models.Model):
    """A link that logs one person in once: how the owner of a local site gets in without a password."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_links")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"login link of {self.user_id}"

    @classmethod
    def issue(cls, user: User) -> str:
        """Make a link for `user` and return its secret."""
        secret = secrets.token_urlsafe(24)
        cls.objects.create(user=user, digest=digest(secret), expires_at=timezone.now() + LOGIN_LINK_LIFE)
        return secret

    @classmethod
    def redeem(cls, secret: str) -> User | None:
        """The link's user, the first time it is used and before it runs out; otherwise None."""
        now = timezone.now()
        links = cls.objects.filter(digest=digest(secret), expires_at__gt=now, user__is_active=True)
        if not links.filter(used_at=None).update(used_at=now):
            return None
        return links.select_related("user").get().user
