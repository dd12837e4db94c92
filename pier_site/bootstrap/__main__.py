"""`python -m pier_site.bootstrap COMMAND`: what the Makefile calls."""

import argparse
import sys

from pier_site.bootstrap.terminal import exit_on_sigterm, say
from runs.errors import PierError

COMMANDS = {
    "run": "prepare everything, run the examples, open the site",
    "test": "prepare everything, then lint, types and all tests",
    "lint": "ruff, djlint, import-linter, Django's checks, mypy",
    "types": "mypy",
    "engine": "make sure that a Docker engine answers, and leave it running",
    "images": "make sure that the images of the examples are there",
}


def main() -> int:
    """Run one command; return its exit code: 2 when this machine cannot be set up."""
    parser = argparse.ArgumentParser(prog="python -m pier_site.bootstrap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    command = parser.parse_args().command
    exit_on_sigterm()
    try:
        return dispatch(command)
    except PierError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


def dispatch(command: str) -> int:
    """Import only what the command needs."""
    if command == "run":
        from pier_site.bootstrap.launch import launch

        return launch()
    if command in {"test", "lint", "types"}:
        from pier_site.bootstrap import checks

        return {"test": checks.test, "lint": checks.lint, "types": checks.types}[command]()
    from pier_site.bootstrap.engine import ensure_engine
    from pier_site.bootstrap.images import EXAMPLES, ensure_images

    ensure_engine()
    if command == "images":
        ensure_images(EXAMPLES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
