"""Which trial a person means on a command line: its number, its name, or its directory."""

from pathlib import Path

from runs.errors import InputInvalid
from runs.models import Trial


def find_trial(wanted: str) -> Trial:
    """The one trial that is meant.

    Raises:
        InputInvalid: there is none, or the name fits several.
    """
    trials = Trial.objects.select_related("job")
    directory = Path(wanted)
    if directory.is_dir():
        directory = directory.resolve()
        found = list(trials.filter(name=directory.name, job__directory=str(directory.parent))[:1])
        if not found:
            raise InputInvalid(f"{wanted} is not indexed: run `manage.py pierjob index {directory.parent}` first")
        return found[0]
    found = list(trials.filter(name=wanted.rstrip("/").replace("\0", ""))[:2])
    if not found and wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        found = list(trials.filter(pk=int(wanted)))
    if not found:
        raise InputInvalid(f"there is no trial {wanted}: give its directory, its name, or the number in its address")
    if len(found) > 1:
        raise InputInvalid(f"several trials are called {wanted}: give the directory, or the number in the address")
    return found[0]
