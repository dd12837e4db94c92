"""`--strict` gives the verdict of Harbor's validator on documents that were changed in every place."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runs.formats.trajectory import Trajectory, dump_trajectory, strict_errors
from runs.formats.trajectory_file import validate_file
from tests.peers.venvs import Peer
from tests.runs.formats.test_trajectory import VALID, changed

pytestmark = pytest.mark.peers

IMAGE = {"type": "image", "source": {"media_type": "image/png", "path": "p"}}
AUDIO = {"type": "audio", "source": {"media_type": "audio/x-wav", "path": "p"}}
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 1.5, float("inf"), float("nan")),
    *("", "x", "1", "2026-01-01", "2026-01-01T00:00:00+25:00", "text", "agent", "user", "\ud800"),
    *("ATIF-v1.0", "ATIF-v1.8", "ATIF-v1.9", "atif-v1.7"),
    *([], {}, [1], [None], {"a": 1}, [{}], [{"type": "text", "text": "x"}], [IMAGE], AUDIO, [AUDIO]),
    *({"results": []}, {"results": [{"content": None, "source_call_id": "c1"}]}),
    *([{"tool_call_id": "c1", "function_name": "f", "arguments": {}}], [{"trajectory_id": "t"}], [{"session_id": "s"}]),
]
ADDED = [
    *("timestamp", "model_name", "reasoning_effort", "reasoning_content", "tool_calls", "observation", "metrics"),
    *("is_copied_context", "llm_call_count", "extra", "subagent_trajectory_ref", "source_call_id", "duration_sec"),
    *("trajectory_id", "trajectory_path", "session_id", "notes", "continued_trajectory_ref", "unheard_of"),
]


def places(value: Any, path: str = "") -> Iterator[str]:
    """The path of every value in a document."""
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield f"{path}{key}"
        yield from places(child, f"{path}{key}/")


def at(document: Any, path: str) -> Any:
    """The value at a path."""
    for part in path.split("/") if path else []:
        document = document[int(part) if part.isdigit() else part]
    return document


def mutations() -> Iterator[dict[str, Any]]:
    """The valid document with one value replaced or removed, or one key added."""
    for path in places(VALID):
        yield from (changed(path, value) for value in [*VALUES, ...])
    for path in ["", *places(VALID)]:
        if isinstance(at(VALID, path), dict):
            for key in ADDED:
                for value in VALUES:
                    document = copy.deepcopy(VALID)
                    at(document, path)[key] = value
                    yield document


def test_the_verdict_on_every_change_is_harbors(harbor: Peer) -> None:
    documents = list(mutations())
    answers = harbor.ask({"atif": document} for document in documents)
    differing = [
        (json.dumps(document)[:2000], errors[:1], answer)
        for document, answer in zip(documents, answers, strict=True)
        if bool(errors := strict_errors(document)) != bool(answer)
    ]
    assert differing == []
    assert len(documents) > 5000
    assert 0.1 < sum(answer is None for answer in answers) / len(answers) < 0.9


def with_media(path: str) -> dict[str, Any]:
    """A document with an image at a path."""
    return changed("steps/1/message/1/source/path", path)


def in_subagent(document: dict[str, Any]) -> dict[str, Any]:
    return changed("subagent_trajectories/0/steps", document["steps"])


FILES: dict[str, bytes] = {
    "image there": json.dumps(with_media("there.png")).encode(),
    "image missing": json.dumps(with_media("missing.png")).encode(),
    "image above": json.dumps(with_media("../there.png")).encode(),
    "image elsewhere": json.dumps(with_media("/nowhere/there.png")).encode(),
    "image in the web": json.dumps(with_media("https://example.org/a.png")).encode(),
    "image inline": json.dumps(with_media("data:image/png;base64,AAAA")).encode(),
    "image nowhere": json.dumps(with_media("")).encode(),
    "image is a folder": json.dumps(with_media(".")).encode(),
    "image with a long name": json.dumps(with_media("x" * 5000)).encode(),
    "image in a result": json.dumps(changed("steps/1/observation/results/1/content", [IMAGE])).encode(),
    "image in a subagent": json.dumps(in_subagent(with_media("missing.png"))).encode(),
    "recording missing": json.dumps(changed("steps/1/message/1", AUDIO)).encode(),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(with_media("there.png")).encode(),
    "not UTF-8": json.dumps(with_media("there.png")).encode().replace(b"Do it", b"\xff"),
    "UTF-16": json.dumps(with_media("there.png")).encode("utf-16"),
    "torn": json.dumps(with_media("there.png")).encode()[:-9],
    "empty": b"",
    "a list": b"[]",
    "a number": b"1",
    "a key twice": json.dumps(with_media("there.png")).encode().replace(b'"agent":', b'"agent": 1, "agent":', 1),
    "a comment": b"// no\n{}",
}


def test_the_verdict_on_files_is_harbors(harbor: Peer, tmp_path: Path) -> None:
    (tmp_path / "there.png").touch()
    paths = {name: tmp_path / f"{name}.json" for name in FILES}
    for name, path in paths.items():
        path.write_bytes(FILES[name])
    answers = harbor.ask({"atif_file": str(path)} for path in paths.values())
    verdicts = {name: validate_file(path, strict=True) for name, path in paths.items()}
    for (name, verdict), answer in zip(verdicts.items(), answers, strict=True):
        assert verdict.valid == (answer is None), (name, verdict.errors, answer)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400])
def test_numbers_that_json_lacks_are_refused_though_harbor_takes_them(
    harbor: Peer, tmp_path: Path, number: str
) -> None:
    text = json.dumps({**VALID, "steps": VALID["steps"][:1], "extra": {"figure": "FIGURE"}})
    path = tmp_path / "trajectory.json"
    path.write_text(text.replace('"FIGURE"', number))
    assert harbor.ask([{"atif_file": str(path)}]) == [None]
    assert [error.code for error in validate_file(path, strict=True).errors] == ["file"]
    assert validate_file(path).valid


def test_what_is_written_here_is_valid_for_both(peer: Peer) -> None:
    text = dump_trajectory(Trajectory.model_validate(VALID))
    assert peer.ask([{"model": "trajectories.trajectory:Trajectory", "text": text}]) == [None]
