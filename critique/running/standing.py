"""What of a critique run is there already, and whether a run of the same name may go on with it. Only reads files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from critique.formats.config import CritiqueRunConfig
from critique.formats.records import RECORD, RUN_CONFIG, config_file, read_record, read_run_config
from critique.running.items import Item
from runs.errors import FileUnreadable, InputInvalid
from runs.indexing.stamps import RESULT

# What may differ between the first start of a run and a later one; Pier lets the first three change, too.
MAY_DIFFER: Final = ("overwrite", "n_concurrent", "prompt_path", "quiet", "retry")
MAX_NAMED: Final = 5


def refuse_changes(config: CritiqueRunConfig) -> None:
    """Raise InputInvalid where the run's directory was begun with other settings, or by another program."""
    path = config.path / RUN_CONFIG
    if not path.exists():
        if any(config.path.iterdir()):
            raise InputInvalid(f"{config.path} holds other files, and no run: give another --name, or --overwrite")
        return
    try:
        then = read_run_config(path)
    except FileUnreadable as error:
        raise InputInvalid(f"{error}: give another --name, or --overwrite") from None
    changes = list(_changes(_plain(then), _plain(config)))
    if changes:
        named = ", ".join(changes[:MAX_NAMED])
        raise InputInvalid(
            f"{config.path} was begun with another {named}: a run holds what was made in one way. Give another --name, "
            "or --overwrite to begin it anew"
        )


def standing_of(directory: Path, items: Sequence[Item]) -> frozenset[str]:
    """The names of the critiques that ended with a result that keeps the contract. They need not be made again."""
    return frozenset(item.name for item in items if _is_valid(directory / item.name))


def _is_valid(directory: Path) -> bool:
    try:
        return (directory / RESULT).is_file() and read_record(directory / RECORD).is_valid
    except FileUnreadable:
        return False


def _plain(config: CritiqueRunConfig) -> dict[str, Any]:
    """The settings as files have them, without what variables hold: a secret that was rotated is no change."""
    said: dict[str, Any] = config_file(config).model_dump(mode="json", include=set(CritiqueRunConfig.model_fields))
    for section in (*said["critics"], said["environment"]):
        section["env"] = sorted(section["env"])
    return said


def _changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if name not in MAY_DIFFER and then.get(name) != value:
            yield f"{name} (then {_shown(then.get(name))}, now {_shown(value)})" if _is_short(value) else name


def _is_short(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
