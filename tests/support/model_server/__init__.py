"""A model provider that follows a script: real agents and raw clients run against it without a key.

`with ModelServer() as server:` in a test; `python -m tests.support.model_server --port 8100` by hand.
"""

from tests.support.model_server.record import ModelCall, Truth
from tests.support.model_server.scenarios import SCENARIOS
from tests.support.model_server.script import (
    Call,
    Cut,
    Edit,
    Fault,
    FindTools,
    Finish,
    Raw,
    Read,
    Script,
    Shell,
    Stall,
    SubAgent,
    Turn,
    Usage,
    Wait,
    Write,
)
from tests.support.model_server.server import ModelServer

__all__ = [
    "SCENARIOS",
    "Call",
    "Cut",
    "Edit",
    "Fault",
    "FindTools",
    "Finish",
    "ModelCall",
    "ModelServer",
    "Raw",
    "Read",
    "Script",
    "Shell",
    "Stall",
    "SubAgent",
    "Truth",
    "Turn",
    "Usage",
    "Wait",
    "Write",
]
