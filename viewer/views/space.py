"""The page that says what takes the space on this machine's disk, and how to give it back."""

from datetime import UTC, datetime
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pier_site.accounts.visibility import owns_a_project
from runs.models import Job
from runs.scheduling.space import space_used

MAX_JOBS = 1000
SHOWN_IMAGES = 100


@require_safe
def space(request: HttpRequest) -> HttpResponse:
    """Images, caches, and the jobs that the reader may see, the largest first. For owners: images are the machine's."""
    if not owns_a_project(request.user):
        raise Http404("Only owners of a project see what takes the space.")
    # Critics' directories lie within those of the jobs that they are of.
    shown = Job.objects.visible_to(request.user).runs().order_by("-sorted_at")[:MAX_JOBS]
    jobs = {job.directory: job for job in shown}
    used = space_used([Path(directory) for directory in jobs])
    context = {
        "used": used,
        "measured_at": datetime.fromtimestamp(used.measured_at_sec, UTC),
        "images": [
            (image, datetime.fromtimestamp(image.last_used_at_sec, UTC)) for image in used.images[:SHOWN_IMAGES]
        ],
        "n_images": len(used.images),
        "images_bytes": sum(image.size_bytes for image in used.images),
        "jobs": [(jobs[found.directory], found) for found in used.jobs if found.directory in jobs],
        "jobs_bytes": sum(found.size_bytes for found in used.jobs),
        "workspace_bytes": sum(found.workspace_bytes for found in used.jobs),
    }
    return render(request, "viewer/space.html", context)
