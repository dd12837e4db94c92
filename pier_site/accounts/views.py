"""Getting in and out: the password form, the one-time link, and logging out."""

from django.contrib.auth import login, views
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from pier_site.accounts.models import LoginLink, digest


class LoginView(views.LoginView):
    """The password form. Who is logged in already is sent on."""

    redirect_authenticated_user = True


@method_decorator(never_cache, name="dispatch")
class LogoutView(views.LogoutView):
    """Logs out on POST and shows the password form."""


def _destination(request: HttpRequest) -> str:
    """`next` of the form or the address when it is a page of this site, else the list of jobs."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return wanted
    return resolve_url("jobs")


def _is_usable(secret: str) -> bool:
    """Whether redeeming the link would work now."""
    links = LoginLink.objects.filter(digest=digest(secret), used_at=None, user__is_active=True)
    return links.filter(expires_at__gt=timezone.now()).exists()


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def login_by_link(request: HttpRequest, secret: str) -> HttpResponse:
    """Log in by a one-time link.

    A GET uses nothing up, since mail scanners and browsers fetch links ahead of a click: it shows a form with one
    button, which a script sends as soon as a person sees the page. Without scripts the person presses the button.
    The link of somebody who is logged in already goes on to its page when it was used before.
    """
    if request.method == "GET":
        if _is_usable(secret):
            return render(request, "registration/login_link.html", {"next": _destination(request)})
    elif user := LoginLink.redeem(secret):
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponseRedirect(_destination(request))
    if request.user.is_authenticated:
        return HttpResponseRedirect(_destination(request))
    return render(request, "registration/login_link_spent.html", status=410)
