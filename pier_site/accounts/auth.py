"""How a request says who it is from: bearer tokens of the REST API, and what an expired session does to a fragment."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django_htmx.http import HttpResponseClientRefresh
from ninja.security import HttpBearer

from pier_site.accounts.models import ApiToken, User

type View = Callable[..., HttpResponseBase]

# `last_used_at` is for people who clean up tokens: to the minute is enough, and saves a write a request.
USED_EVERY = timedelta(minutes=1)


class BearerToken(HttpBearer):
    """`Authorization: Bearer pier_…`; the route then sees the token's user as request.auth."""

    def authenticate(self, _request: HttpRequest, token: str) -> User | None:
        """The user of a usable token, else None, which becomes a 401."""
        found = ApiToken.objects.usable(token).select_related("user").first()
        if found is None:
            return None
        now = timezone.now()
        if found.last_used_at is None or now - found.last_used_at > USED_EVERY:
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        return found.user


class FragmentAwareLoginRequiredMiddleware(LoginRequiredMiddleware):
    """Django's, except that a fragment's request reloads its page: a login form inside a job board helps nobody."""

    def process_view(
        self, request: HttpRequest, view_func: View, view_args: tuple[Any, ...], view_kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Let the request through, redirect a page to the login form, or tell htmx to reload its page."""
        answer = super().process_view(request, view_func, view_args, view_kwargs)
        if answer is not None and getattr(request, "htmx", False):
            return HttpResponseClientRefresh()
        return answer
