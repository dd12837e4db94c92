"""The frame of the site's commands: errors for people become one sentence on stderr and exit code 2."""

import sys
from abc import ABC, abstractmethod
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from runs.errors import InputInvalid, PierError
from runs.files import is_disk_full

EXIT_INVALID = 2


class PierCommand(BaseCommand, ABC):
    """A command that calls one function. Subclasses write `run`, which returns the exit code."""

    needs_database = True
    # Django's own checks import every app's URLs; they run in CI and at `runserver`.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Call `run` and exit with its code."""
        try:
            if self.needs_database:
                check_database()
            code = self.run(**options)
        except PierError as error:
            self._fail(str(error))
        except OSError as error:
            if not is_disk_full(error):
                raise
            place = f" for {error.filename}" if error.filename else ""
            self._fail(f"no space left on the device{place}: free some and run again")
        except DatabaseError as error:
            if "disk is full" not in str(error):
                raise
            self._fail(f"the database cannot grow ({error}): free some space and run again")
        else:
            sys.exit(code)

    @abstractmethod
    def run(self, **options: Any) -> int:
        """Do the command's work with its parsed options and return the exit code."""

    def _fail(self, sentence: str) -> None:
        self.stderr.write(sentence)
        sys.exit(EXIT_INVALID)


def check_database() -> None:
    """Raise InputInvalid unless the database is there and has all migrations."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        unapplied = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise InputInvalid(f"the database cannot be used ({str(error).strip()})") from error
    if unapplied:
        raise InputInvalid("the database is not prepared: run `manage.py migrate`")
