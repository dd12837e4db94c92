"""What all routes of the REST API share: parameters, error answers, and who is asking."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Schema

from pier_site.accounts.models import User
from runs.queries import MAX_LIMIT

type Cursor = Annotated[str, Query(max_length=2000, description="`next` of the window before; empty for the first.")]
type Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


class Problem(Schema):
    """What went wrong, in one sentence."""

    detail: str


class ValidationProblem(Schema):
    """Which parameters can't be used."""

    detail: list[dict[str, Any]]


ERRORS = {400: Problem, 401: Problem, 403: Problem, 404: Problem, 422: ValidationProblem}


def reader_of(request: HttpRequest) -> User:
    """The person whom the token or the session stands for."""
    reader = getattr(request, "auth", None)
    if not isinstance(reader, User):
        raise TypeError("a route without authentication asked who is reading")
    return reader
