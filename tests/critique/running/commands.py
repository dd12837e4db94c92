"""Calling `piercritique` in a test, and reading what it wrote."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connections


def piercritique(*arguments: object, kind: str = "host") -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("piercritique", *map(str, arguments), "-e", kind, "-q", stdout=out, stderr=err)
    # The thread that ran the queries outlives the run, and PostgreSQL drops no database that it is connected to.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def document(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())


def record(run: Path, name: str = "") -> dict[str, Any]:
    """critique.json of the critique of a name, or of the only one."""
    found = [run / name] if name else [path.parent for path in run.glob("*/critique.json")]
    assert len(found) == 1
    value: dict[str, Any] = document(found[0] / "critique.json")
    return value
