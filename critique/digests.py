"""What a critique was made of, by digests, and what of it has moved since: then the critique is stale."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db.models import Max, QuerySet
from pydantic import BaseModel, ConfigDict, ValidationError

from critique.models import Critique, Rubric, Subject
from critique.source_files import KINDS, SourceFiles, is_file
from runs.errors import FileUnreadable
from runs.formats.reading import read_json, stays_within
from runs.formats.task_directory import TASK_FILE
from runs.indexing.stamps import RESULT
from runs.indexing.values import first_text, mapping

MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
LOOKED_AT: Final = 20

TASK_GONE: Final = "the task's directory is no longer there"
TASK_CHANGED: Final = "the task's files changed"
TRIAL_GONE: Final = "the trial's directory is no longer there"
TRAJECTORY_CHANGED: Final = "the trajectory was changed"
RESULT_CHANGED: Final = "the trial's result was changed"
WORKSPACE_CHANGED: Final = "the final workspace was changed"
IMAGE_CHANGED: Final = "the image of the task is another now"


class Digests(BaseModel):
    """What a critique was made of; empty is what there was not. Digests of files are `sha256:…`.

    `task` is that of `Task.checksum()`, of the directory `task_path`. `trajectory` is over all trajectory documents of
    the trial, `result` over its result.json, `workspace` over what was kept of the final state. `image` is the id of
    the image that the critic worked in, `trial_image` that of the trial. `prompt` is of all that the critic was told.
    `stamps` are sizes and times of these files, in a digest each: where they are the same, nothing is read again.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    task: str = ""
    task_path: str = ""
    trajectory: str = ""
    result: str = ""
    workspace: str = ""
    rubric: str = ""
    rubric_digest: str = ""
    image: str = ""
    trial_image: str = ""
    model: str = ""
    agent: str = ""
    prompt: str = ""
    seed: int | None = None
    stamps: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Who made a critique, and by what: `rubric` is NAME@VERSION, `agent` name and version, `prompt` the whole text."""

    rubric: str = ""
    rubric_digest: str = ""
    image: str = ""
    model: str = ""
    agent: str = ""
    prompt: str = ""
    seed: int | None = None


def digests_of(*, task: Path | None, trial: Path | None, made_by: MadeBy) -> Digests:
    """The digests of a task and a trial as they are now, beside what is told of the critic. Reads all their files."""
    now = SourceFiles(task, trial)
    return Digests(
        task=now.digest("task"),
        task_path=str(task.resolve()) if task else "",
        trajectory=now.digest("trajectory"),
        result=now.digest("result"),
        workspace=now.digest("workspace"),
        rubric=made_by.rubric,
        rubric_digest=made_by.rubric_digest,
        image=made_by.image,
        trial_image=_image_in(trial),
        model=made_by.model,
        agent=made_by.agent,
        prompt=digest_of_text(made_by.prompt) if made_by.prompt else "",
        seed=made_by.seed,
        stamps={kind: stamp for kind in KINDS if (stamp := now.stamp(kind))},
    )


def digest_of_text(text: str) -> str:
    """`sha256:…` of a text."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def moved(critique: Critique) -> list[str]:
    """What the critique was made of and has changed since, a sentence each. Three queries at most."""
    return _moved(critique, _newest_versions([critique]), {})


def refresh_staleness(critiques: Iterable[Critique]) -> int:
    """Bring `is_stale` and `stale_reasons` of these critiques up to date; how many became others.

    Three queries for any number of them, and a look at the files of each trial and task, once each.
    """
    wanted = [critique.pk for critique in critiques]
    if not wanted:
        return 0
    rows = list(Critique.objects.filter(pk__in=wanted).select_related("run__rubric"))
    newest, seen = _newest_versions(rows), dict[tuple[Path | None, Path | None], SourceFiles]()
    changed = []
    for row in rows:
        reasons = _moved(row, newest, seen)
        if reasons != row.stale_reasons or row.is_stale != bool(reasons):
            row.stale_reasons, row.is_stale = reasons, bool(reasons)
            changed.append(row)
    if changed:
        Critique.objects.bulk_update(changed, ["stale_reasons", "is_stale"])
    return len(changed)


def look_again(critiques: QuerySet[Critique], *, limit: int = LOOKED_AT) -> int:
    """Find out which of the newest of these have become stale, before they are shown; how many did.

    One that is stale stays so until its job is indexed: what has changed is not read again and again.
    """
    return refresh_staleness(critiques.filter(is_stale=False).only("pk").order_by("-pk")[:limit])


def outdate(rubric: Rubric) -> int:
    """Say of the critiques by earlier versions of a rubric that there is this one; how many. No file is looked at."""
    versions = Rubric.objects.filter(project=rubric.project_id, name=rubric.name)
    if versions.filter(version__gt=rubric.version).exists():
        return 0
    earlier = versions.filter(version__lt=rubric.version)
    rows = list(Critique.objects.filter(run__rubric__in=earlier).only("pk", "stale_reasons"))
    for row in rows:
        others = [reason for reason in row.stale_reasons if not reason.startswith(_newer(rubric.name))]
        row.stale_reasons, row.is_stale = [*others, f"{_newer(rubric.name)}{rubric.version}"], True
    Critique.objects.bulk_update(rows, ["stale_reasons", "is_stale"], batch_size=500)
    return len(rows)


def _newer(name: str) -> str:
    return f"rubric {name} has a newer version "


type Versions = Mapping[tuple[int | None, str], int]


def _newest_versions(critiques: Iterable[Critique]) -> Versions:
    """The newest version of each rubric by which these were made."""
    names = {critique.run.rubric.name for critique in critiques if critique.run.rubric}
    if not names:
        return {}
    rows = Rubric.objects.filter(name__in=names).values_list("project", "name").annotate(Max("version"))
    return {(project, name): newest for project, name, newest in rows}


def _moved(critique: Critique, newest: Versions, seen: dict[tuple[Path | None, Path | None], SourceFiles]) -> list[str]:
    try:
        then = Digests.model_validate(critique.digests)
    except ValidationError:
        return []
    task, trial = _task_of(then), trial_directory_of(critique)
    now = seen.setdefault((task, trial), SourceFiles(task, trial))
    reasons = [*_of_task(then, now), *_of_trial(then, now)]
    rubric = critique.run.rubric
    version = newest.get((rubric.project_id, rubric.name), 0) if rubric else 0
    if rubric and version > rubric.version:
        reasons.append(f"{_newer(rubric.name)}{version}")
    return reasons


def _task_of(then: Digests) -> Path | None:
    return Path(then.task_path) if then.task and then.task_path and "\0" not in then.task_path else None


def trial_directory_of(critique: Critique) -> Path | None:
    """The directory of the trial that was looked at, where there is one; never one elsewhere, whatever files say."""
    run, name = critique.run, critique.source_name
    if run.subject != Subject.TRIAL or not name or name != Path(name).name or "\0" in name:
        return None
    job = Path(run.directory).parent.parent
    return job / name if stays_within(job / name, job) else None


def _of_task(then: Digests, now: SourceFiles) -> Iterator[str]:
    if now.task is None:
        return
    if not is_file(now.task / TASK_FILE):
        yield TASK_GONE
    elif _has_changed("task", then, now):
        yield TASK_CHANGED


def _of_trial(then: Digests, now: SourceFiles) -> Iterator[str]:
    if now.trial is None or not (then.trajectory or then.result):
        return
    if not now.trial.is_dir():
        yield TRIAL_GONE
        return
    if _has_changed("trajectory", then, now):
        yield TRAJECTORY_CHANGED
    if _has_changed("result", then, now):
        yield RESULT_CHANGED
        if then.trial_image and _image_in(now.trial) not in ("", then.trial_image):
            yield IMAGE_CHANGED
    if now.stamp("workspace") and _has_changed("workspace", then, now):
        yield WORKSPACE_CHANGED


def _has_changed(kind: str, then: Digests, now: SourceFiles) -> bool:
    """Whether the contents are others than they were. Read only where size or time of a file is another."""
    recorded: str = getattr(then, kind)
    if not recorded or now.stamp(kind) == then.stamps.get(kind):
        return False
    return now.digest(kind) != recorded


def _image_in(trial: Path | None) -> str:
    """The id of the image that the trial's agent worked in, where its result says it."""
    if trial is None:
        return ""
    try:
        result: Any = read_json(trial / RESULT, max_bytes=MAX_RESULT_BYTES, lenient=True, within=trial)
    except FileUnreadable:
        return ""
    return first_text(100, mapping(mapping(result).get("image")).get("id"))
