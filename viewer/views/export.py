"""A trial as a page to take away."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from runs.queries import get_trial_for
from viewer.downloads import as_attachment
from viewer.export.page import trial_page


@require_safe
def trial_html(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole trial as one file, sent while it is made."""
    trial = get_trial_for(request.user, pk)
    pieces = trial_page(trial, reader=request.user)
    # Under ASGI Django would first collect a plain iterator in memory.
    content = _one_by_one(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type="text/html; charset=utf-8")
    return as_attachment(response, f"{trial.name}.html")


async def _one_by_one(pieces: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(pieces, None))
    while (piece := await following()) is not None:
        yield piece
