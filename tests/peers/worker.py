"""Runs in a peer's environment: asks its own code about each request, a line of JSON, and prints null or a complaint.

`{"model": "job.config:JobConfig", "text": …}` is parsed by that model, `{"class": "critique.models:X", "text": …}` by
one that lies elsewhere, `{"toml": …}` as task.toml,
`{"atif": …}` is a document for the trajectory model, `{"atif_file": …}` a file for the trajectory validator.
"""

import importlib
import json
import sys
from typing import Any


def attribute(package: str, place: str) -> Any:
    """What `module:Name` below the package is."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{package}.{module}"), name)


def ask(package: str, request: dict[str, Any]) -> None:
    """Raise whatever the peer raises; a validator's list of errors becomes a ValueError."""
    match request:
        case {"model": place, "text": text}:
            attribute(package, f"models.{place}").model_validate_json(text)
        case {"class": place, "text": text}:
            attribute(package, place).model_validate_json(text)
        case {"toml": text}:
            attribute(package, "models.task.config:TaskConfig").model_validate_toml(text)
        case {"atif": document}:
            attribute(package, "models.trajectories.trajectory:Trajectory").model_validate(document)
        case {"atif_file": path}:
            validator = attribute(package, "utils.trajectory_validator:TrajectoryValidator")()
            if not validator.validate(path):
                raise ValueError("; ".join(validator.errors) or "invalid")
        case _:
            raise KeyError(f"no such request: {sorted(request)}")


def main() -> None:
    """Answer every line of standard input."""
    # Peers print warnings: they must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            ask(sys.argv[1], json.loads(line))
        except KeyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its verdict
            answer: str | None = f"{type(error).__name__}: {error}"[:500]
        else:
            answer = None
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
