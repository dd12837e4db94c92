"""What a step names that lies elsewhere: sub-agents with trajectories of their own, images among the trial's files."""

from collections.abc import Iterable, Sequence
from posixpath import normpath

from django.db.models import F, Q

from runs.models import Step, Trajectory, Trial
from viewer.cards.model import Image, Subagent
from viewer.files import FileMissing, open_file

IMAGE_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
MAX_NAMED = 50
# Where agents keep their logs in a sandbox; among the trial's files the same folder is `agent`.
_LOGS = "/logs/agent/"


class Subagents:
    """Trajectories of a trial by what steps call them. Their words are read when one is first named: one query."""

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        self._by_name: dict[str, Trajectory] = {}
        for trajectory in trajectories:
            path = trajectory.path
            for name in (trajectory.trajectory_id, trajectory.fragment, path, path.rpartition("/")[2]):
                if name:
                    self._by_name.setdefault(name, trajectory)
        self._words: dict[int, list[tuple[int, str, str]]] | None = None

    def named(self, names: Sequence[str]) -> tuple[Subagent, ...]:
        """Each name with its trajectory; a run that is named by its id and by its path is one run."""
        found: dict[int | str, Subagent] = {}
        for name in names[:MAX_NAMED]:
            trajectory = self._by_name.get(name) or self._by_name.get(name.rpartition("/")[2])
            if trajectory is None:
                found.setdefault(name, Subagent(name, None))
            elif trajectory.pk not in found:
                found[trajectory.pk] = self._subagent(name, trajectory)
        return tuple(found.values())

    def _subagent(self, name: str, trajectory: Trajectory) -> Subagent:
        if self._words is None:
            self._words = _first_and_last_words({found.pk for found in self._by_name.values()})
        words = self._words.get(trajectory.pk, [])
        first = next((row for row in words if row[1] == Step.Source.USER), words[0] if words else None)
        last = words[-1] if words and words[-1] != first else None
        return Subagent(
            name=trajectory.agent_name or name,
            trajectory_pk=trajectory.pk,
            n_steps=trajectory.n_steps,
            first=first[2] if first else "",
            last=last[2] if last else "",
            first_number=first[0] + 1 if first else 0,
            last_number=last[0] + 1 if last else 0,
        )


def subagents_of(trajectories: Iterable[Trajectory]) -> Subagents:
    """How steps may name the trajectories of their trial."""
    return Subagents(trajectories)


def _first_and_last_words(pks: set[int]) -> dict[int, list[tuple[int, str, str]]]:
    """Index, source and summary of the first three steps and the last one of each trajectory."""
    ends = Q(index__lt=3) | Q(index__gte=F("trajectory__n_steps") - 1)
    rows = Step.objects.filter(ends, trajectory_id__in=pks).order_by("trajectory_id", "index")
    found: dict[int, list[tuple[int, str, str]]] = {}
    for pk, index, source, summary in rows.values_list("trajectory_id", "index", "source", "summary"):
        found.setdefault(pk, []).append((index, source, summary))
    return found


def images_of(paths: Sequence[str], step: Step, most: int) -> tuple[Image, ...]:
    """The images that a step names. Only those in the trial directory can be shown: nothing is fetched."""
    return tuple(_image(path, step) for path in paths[:most])


def _image(path: str, step: Step) -> Image:
    name = path.rpartition("/")[2] or path
    if path.startswith("data:"):
        return Image(path.partition(",")[0][:100])
    places = [] if "://" in path else _places(path, step.trajectory.path)
    file = next((place for place in places if is_image_file(step.trajectory.trial, place)), "")
    return Image(name if file else path, file)


def _places(path: str, trajectory_path: str) -> list[str]:
    """Where in the trial directory an image may be that a trajectory names: beside the trajectory's file."""
    folder = trajectory_path.rpartition("/")[0]
    if path.startswith(_LOGS):
        inside = path.removeprefix(_LOGS)
        found = [f"{folder}/{inside}", f"agent/{inside}"]
    elif path.startswith("/"):
        found = [f"{folder}/images/{path.rpartition('/')[2]}"]
    else:
        found = [f"{folder}/{path}"]
    return [place for place in (normpath(place.lstrip("/")) for place in found) if not place.startswith("..")]


def is_image_file(trial: Trial, path: str) -> bool:
    """Whether the trial directory has an image of this name."""
    if path.rpartition(".")[2].lower() not in IMAGE_TYPES:
        return False
    try:
        open_file(trial, path).close()
    except FileMissing:
        return False
    return True
