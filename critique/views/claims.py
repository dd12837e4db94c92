"""One claim: where it is, and the command that its critic suggested to check it."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from critique.checks.queueing import cancel_check, end_abandoned, queue_check
from critique.models import Claim
from critique.queries import get_claim_for
from critique.shown import check_of
from critique.views.plans import person
from pier_site.accounts.visibility import may_run
from runs.errors import PierError


@require_safe
def claim_place(request: HttpRequest, pk: int) -> HttpResponse:
    """The way to a claim on its critique's page. With htmx what its check has come to so far."""
    claim = get_claim_for(request.user, pk)
    if not getattr(request, "htmx", False):
        return redirect(_place_of(claim))
    if end_abandoned(claim.critique):
        claim.refresh_from_db()
    check = check_of(claim, may_run=may_run(request.user, claim.critique.run.project))
    return render(request, "critique/_check.html", {"claim": claim, "check": check})


@require_POST
def check_claim(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the claim's suggested check run in a fresh sandbox."""
    claim = _owned(request, pk)
    try:
        queue_check(claim, person(request))
        messages.success(request, "The check is being run in a fresh sandbox. Its result will be here.")
    except PierError as error:
        messages.warning(request, _sentence(error))
    return redirect(_place_of(claim))


@require_POST
def stop_check(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop the claim's check, or take it out of the queue."""
    claim = _owned(request, pk)
    try:
        cancel_check(claim)
        messages.success(request, "The check is being stopped.")
    except PierError as error:
        messages.warning(request, _sentence(error))
    return redirect(_place_of(claim))


def _owned(request: HttpRequest, pk: int) -> Claim:
    claim = get_claim_for(request.user, pk)
    if not may_run(request.user, claim.critique.run.project):
        raise PermissionDenied("Only owners of the project may run commands that critics suggest.")
    return claim


def _sentence(error: PierError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _place_of(claim: Claim) -> str:
    address = reverse("critique", args=[claim.critique_id])
    return f"{address}?claim={claim.position}#claim-{claim.position}"
