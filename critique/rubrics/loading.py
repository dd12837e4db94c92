"""Rubrics by name or from a file: built-in ones become rows when they are first wanted, files when they are new."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from critique.models import Rubric
from critique.rubrics.files import (
    SUFFIXES,
    Criterion,
    RubricText,
    SubjectName,
    Tag,
    digest_of,
    parse_rubric,
    read_rubric,
)
from critique.rubrics.publishing import newest, publish, publish_builtin
from pier_site.accounts.models import Project, User
from runs.errors import InputInvalid
from runs.formats.validation import nearest, shortened

__all__ = ["Criterion", "RubricText", "Tag", "builtin_rubrics", "builtin_texts", "find_rubric", "text_of"]

FOLDER: Final = Path(__file__).parent / "builtin"


def find_rubric(name: str, project: Project, *, subject: SubjectName = "trial", by: User | None = None) -> Rubric:
    """The rubric that NAME, NAME@VERSION or a file means in the project; raises InputInvalid.

    NAME is its newest version. A file whose content is new becomes a version of the project's; `subject` is that of a
    file which does not say its own, and `by` whom the version is noted to.
    """
    path = Path(name.replace("\0", "")).expanduser()
    if path.suffix.lower() in SUFFIXES or "/" in name:
        return publish_file(path, project, subject=subject, by=by)
    plain, at, version = name.partition("@")
    if at and not (version.isdecimal() and version.isascii() and len(version) < 8):
        raise InputInvalid(f"{shortened(name)}: after @ stands the version, a number")
    number = int(version) if at else None
    builtin = builtin_texts().get(plain)
    if builtin is not None and number in (None, builtin.version):
        return publish_builtin(builtin)
    rubric = newest(plain, None if builtin else project, version=number)
    if rubric is None:
        raise InputInvalid(_not_found(name, plain, project))
    return rubric


def publish_file(path: Path, project: Project, *, subject: SubjectName = "trial", by: User | None = None) -> Rubric:
    """The project's version with the content of the file, made where there is none yet; raises InputInvalid."""
    return _published(read_rubric(path, subject=subject), project, by)


def publish_text(text: str, file_name: str, project: Project, *, by: User | None = None) -> Rubric:
    """As `publish_file`, of a text that somebody sent; the file's name tells its format."""
    return _published(parse_rubric(text, Path(file_name.replace("\0", ""))), project, by)


def builtin_rubrics() -> list[Rubric]:
    """The newest versions of the built-in rubrics, by name; one query once they are rows."""
    texts = builtin_texts()
    rows = {str(row): row for row in Rubric.objects.filter(project=None, name__in=list(texts))}
    return [
        row if (row := rows.get(text.label)) and row.digest == text.digest else publish_builtin(text)
        for text in texts.values()
    ]


@cache
def builtin_texts() -> Mapping[str, RubricText]:
    """The rubrics that come with the site, by name."""
    texts = (read_rubric(path) for path in sorted(FOLDER.glob("*.toml")))
    return {text.name: text for text in texts}


def text_of(rubric: Rubric) -> RubricText:
    """What a critic gets of the row; raises InputInvalid where the row was changed behind the site's back."""
    parts = {name: getattr(rubric, name) for name in ("text", "criteria", "tags", "output_schema", "critic", "subject")}
    if digest_of(parts) != rubric.digest:
        raise InputInvalid(f"rubric {rubric} is not what was published: its content has another digest")
    return RubricText(
        name=rubric.name,
        version=rubric.version,
        subject=rubric.subject,
        title=rubric.title,
        text=rubric.text,
        criteria=tuple(Criterion.model_validate(one) for one in rubric.criteria),
        tags=tuple(Tag.model_validate(one) for one in rubric.tags),
        output_schema=rubric.output_schema,
        critic=rubric.critic,
        digest=rubric.digest,
        note=rubric.note,
    )


def _published(text: RubricText, project: Project, by: User | None) -> Rubric:
    if text.name in builtin_texts():
        raise InputInvalid(f"{text.name} is a built-in rubric: give yours another name")
    return publish(text, project, by=by)


def _not_found(name: str, plain: str, project: Project) -> str:
    known = {*builtin_texts(), *Rubric.objects.filter(project=project).values_list("name", flat=True)}
    meant = nearest(plain, sorted(known))
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sorted(known)[:20])}"
    return f"{shortened(name)}: there is no such rubric; {hint}"
