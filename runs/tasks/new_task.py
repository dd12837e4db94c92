"""A new task from the template: it lints clean, its solution gets reward 1.0 and doing nothing gets 0.0."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from runs.errors import InputInvalid
from runs.formats.task import PackageInfo
from runs.formats.validation import first_problem

TEMPLATE: Final = Path(__file__).resolve().parent / "template"
MAX_STEPS: Final = 100
_SUM: Final = 189  # of environment/numbers.txt
_PLACE: Final = re.compile(r"\{\{ (\w+) \}\}")
_SCRIPT_MODE: Final = 0o755


def create_task(directory: Path, *, name: str | None = None, n_steps: int = 1, separate_verifier: bool = False) -> Path:
    """Write a new task into a directory that is missing or empty, and return its absolute path.

    `name` is `organisation/name`; without one it is `my-team/` and the directory's name. Raises InputInvalid.
    """
    root = directory.resolve()
    values = {"name": _checked_name(name or f"my-team/{root.name}", is_given=name is not None)}
    if not 1 <= n_steps <= MAX_STEPS:
        raise InputInvalid(f"--steps {n_steps}: a task has 1 to {MAX_STEPS} steps")
    _claim(directory)
    values["verifier"] = 'environment_mode = "separate"\n' if separate_verifier else ""
    if n_steps == 1:
        stage = _stage_values(None, separate=separate_verifier)
        _write(root, ("task.toml",), values | stage)
        _write_stage(root, stage, separate=separate_verifier)
    else:
        _write_steps(root, values, n_steps, separate=separate_verifier)
    _write(root, ("environment/Dockerfile", "environment/numbers.txt"), {})
    return root


def _write_steps(root: Path, values: Mapping[str, str], n_steps: int, *, separate: bool) -> None:
    stages = {f"step-{number}": _stage_values(number, separate=separate) for number in range(1, n_steps + 1)}
    _write(root, ("task.toml",), {**values, "artifacts": ""})
    with (root / "task.toml").open("a", encoding="utf-8") as file:
        for step, stage in stages.items():
            file.write(_filled("step.toml", {**stage, "step": step}))
    for step, stage in stages.items():
        _write_stage(root / "steps" / step, stage, separate=separate)


def _write_stage(folder: Path, values: Mapping[str, str], *, separate: bool) -> None:
    _write(folder, ("instruction.md", "tests/test.sh", "solution/solve.sh"), values)
    if separate:
        _write(folder, ("tests/Dockerfile",), values)


def _stage_values(number: int | None, *, separate: bool) -> dict[str, str]:
    """What differs between stages: the factor, so that no step's answer is another's."""
    factor = (number or 1) + 1
    output = "/app/answer.txt" if number is None else f"/app/answer-{number}.txt"
    artifacts = f'artifacts = ["{output}"]\n' if separate else ""
    return {"factor": str(factor), "output": output, "result": str(_SUM * factor), "artifacts": artifacts}


def _checked_name(name: str, *, is_given: bool) -> str:
    try:
        PackageInfo(name=name)
    except ValidationError as error:
        hint = "" if is_given else "; give another one with --name ORGANISATION/NAME"
        raise InputInvalid(f"{first_problem(error).removeprefix('the file: ')}{hint}") from None
    return name


def _claim(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_empty = next(directory.iterdir(), None) is None
    except OSError as error:
        raise InputInvalid(f"{directory}: cannot be made or read: {error.strerror or error}") from None
    if not is_empty:
        raise InputInvalid(f"{directory}: is not empty; a new task needs a new directory")


def _write(folder: Path, names: tuple[str, ...], values: Mapping[str, str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(name, values), encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(_SCRIPT_MODE)


def _filled(name: str, values: Mapping[str, str]) -> str:
    """A file of the template with its places filled."""
    return _PLACE.sub(lambda place: values[place[1]], (TEMPLATE / name).read_text(encoding="utf-8"))
