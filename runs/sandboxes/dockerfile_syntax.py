"""What a Dockerfile may say to an engine of a certain age. Here-documents are the one thing that is looked for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runs.errors import SandboxFailed
from runs.tasks.dockerfile import Instruction, instructions_of

# The first engine whose own BuildKit reads them; older ones need a newer frontend, which is an image to be pulled.
HEREDOC_ENGINE: Final = 23
# `<<NAME` as a word of its own, as BuildKit takes it: a shift in an arithmetic expression is none.
_HEREDOC: Final = re.compile(r"(?<!\S)\d*<<-?(['\"]?)([A-Za-z_]\w*)\1(?!\S)")
_FRONTEND: Final = re.compile(r"\s*#\s*syntax\s*=", re.IGNORECASE)


def refuse_heredocs(dockerfile: Path, engine_version: str) -> None:
    """Raise SandboxFailed for a here-document (`RUN <<EOF`) that this engine would take for broken instructions.

    Where the first line names a frontend (`# syntax=…`), or there is no such file, the builder decides.
    """
    major = engine_version.partition(".")[0]
    if not major.isdigit() or int(major) >= HEREDOC_ENGINE or not dockerfile.is_file():
        return
    text = dockerfile.read_text(encoding="utf-8", errors="replace")
    if _FRONTEND.match(text):
        return
    for instruction in instructions_of(text):
        for name in heredocs_of(instruction):
            raise SandboxFailed(
                f"{dockerfile}:{instruction.line}: the Docker engine {engine_version} cannot build the here-document "
                f"`{instruction.name} <<{name}`: join the commands with `&&`, or use Docker {HEREDOC_ENGINE} or later"
            )


def heredocs_of(instruction: Instruction) -> Iterator[str]:
    """The names of the here-documents that end inside the instruction."""
    if instruction.name not in ("RUN", "COPY", "ADD"):
        return
    for match in _HEREDOC.finditer(instruction.text):
        if match[2] in map(str.strip, instruction.text[match.end() :].split("\n")[1:]):
            yield match[2]
