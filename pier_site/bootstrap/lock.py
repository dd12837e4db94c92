"""Make requirements/*.txt anew: names, versions and hashes for all platforms, no addresses."""

import subprocess
import sys
from pathlib import Path

from pier_site.bootstrap.terminal import CACHE, SetupFailed, run_quietly, say
from runs.errors import PierError

OPTIONS = ("--universal", "--generate-hashes", "--no-emit-index-url", "--no-header", "--upgrade", "--quiet")
LOCKS = {"base.txt": (), "dev.txt": ("--group", "dev")}


def lock() -> None:
    """Run `uv pip compile` for each file; raise `SetupFailed` when uv is missing or finds no solution."""
    # The places where venv.sh looks, too.
    places = [Path.home() / ".local/bin/uv", CACHE / "uv/bin/uv", *Path.home().glob(".pyenv/versions/*/bin/uv")]
    uv = next((path for path in ("uv", *map(str, places)) if runs(path)), None)
    if uv is None:
        raise SetupFailed("uv is missing: https://docs.astral.sh/uv/getting-started/")
    for name, options in LOCKS.items():
        target = f"requirements/{name}"
        say(f"locking {target}")
        run_quietly(
            [uv, "pip", "compile", *OPTIONS, *options, "pyproject.toml", "-o", target], what=f"locking {target}"
        )


def runs(uv: str) -> bool:
    """Whether this uv answers: a shim of that name may exist and fail."""
    try:
        return subprocess.run([uv, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        lock()
    except PierError as error:
        say(str(error))
        sys.exit(2)
