"""Versions of rubrics as rows. Two processes that publish the same at once make one row: the constraints say so."""

from typing import Any, Final

from django.db import IntegrityError, transaction

from critique.digests import outdate
from critique.models import Rubric, RubricFrozen
from critique.rubrics.files import RubricText
from pier_site.accounts.models import Project, User
from runs.errors import InputInvalid

_TRIES: Final = 5


def newest(name: str, project: Project | None, *, version: int | None = None) -> Rubric | None:
    """The newest version of a name in the project (None: of the built-in ones), or that version of it."""
    rows = Rubric.objects.filter(project=project, name=name.replace("\0", ""))
    if version is not None:
        rows = rows.filter(version=version)
    return rows.order_by("-version").first()


def publish(text: RubricText, project: Project, *, by: User | None = None) -> Rubric:
    """The project's version with this content; made, one above the newest, where there is none.

    Raises InputInvalid where the text names a version that has another content.
    """
    for _ in range(_TRIES):
        # In one look: what is made below is refused when somebody has taken the version since.
        rows = list(Rubric.objects.filter(project=project, name=text.name).order_by("-version"))
        versions = [row for row in rows if text.version in (0, row.version)]
        known = next((row for row in versions if row.digest == text.digest), None)
        if known is not None:
            return known
        if text.version and versions:
            raise InputInvalid(f"{versions[0]} has another content: raise the version in the file, or leave it out")
        version = text.version or (rows[0].version + 1 if rows else 1)
        try:
            with transaction.atomic():
                made = Rubric.objects.create(
                    project=project, name=text.name, version=version, created_by=by, **_columns(text)
                )
                outdate(made)
                return made
        except IntegrityError:
            # Somebody else has just taken this version: it may even have the same content.
            continue
    raise InputInvalid(f"rubric {text.name}: others are publishing it right now; try again")


def publish_builtin(text: RubricText) -> Rubric:
    """The row of a rubric that comes with the site; raises RubricFrozen where it was used with another content."""
    columns = _columns(text) | {"is_builtin": True}
    rubric, is_new = Rubric.objects.get_or_create(project=None, name=text.name, version=text.version, defaults=columns)
    if is_new:
        outdate(rubric)
    if rubric.digest == text.digest:
        return rubric
    if rubric.runs.exists():
        raise RubricFrozen(f"{rubric} was used with another content than this release has: it needs a new version")
    for name, value in columns.items():
        setattr(rubric, name, value)
    rubric.save()
    return rubric


def _columns(text: RubricText) -> dict[str, Any]:
    return {
        "subject": text.subject,
        "title": text.title,
        "text": text.text,
        "criteria": [criterion.model_dump() for criterion in text.criteria],
        "tags": [tag.model_dump(exclude_none=True) for tag in text.tags],
        "output_schema": dict(text.output_schema),
        "critic": dict(text.critic),
        "digest": text.digest,
        "note": text.note,
    }
