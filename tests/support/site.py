"""A site in processes of its own, as people have it: commands that are started, killed and sent signals."""

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    pid: int
    output: str
    code: int


@dataclass(frozen=True)
class Site:
    """A data directory with a database of its own."""

    data: Path

    def environment(self, **more: str) -> dict[str, str]:
        env = {**os.environ, "PIER_DATA_DIR": str(self.data), **more}
        env.pop("DATABASE_URL", None)
        return env

    def start(self, *arguments: object, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *map(str, arguments)],
            env=self.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments: object, **more: str) -> Ended:
        with self.start(*arguments, **more) as process:
            return Ended(process.pid, process.communicate(timeout=60)[0], process.returncode)

    def rows(self, columns: str, table: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.data / "pier.sqlite3") as database:
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute(f"SELECT {columns} FROM {table}")]
        database.close()
        return sorted(rows, key=repr)
