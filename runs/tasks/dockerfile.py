"""A Dockerfile as its instructions, with their lines: what it starts from, what it copies, what it runs.

Nothing is built, and a text that is no Dockerfile gives instructions that mean nothing to anybody.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runs.tasks.shell import Command, commands_of

_INSTRUCTION: Final = re.compile(r"[ \t]*+([A-Za-z]++)(?:[ \t]++|$)")
_HEREDOC: Final = re.compile(r"<<-?[ \t]*+['\"]?(\w++)")
_FLAG: Final = re.compile(r"(?:--[a-z]++(?:=\S*+)?(?:[ \t]|\\\n)++)++")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*+)(?::-([^}]*+))?\}|([A-Za-z_]\w*+))")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in capitals, its flags, and the rest as it stands, continuations included."""

    line: int
    name: str
    flags: str
    text: str

    def words(self) -> list[str]:
        """The arguments, in the plain or in the JSON form."""
        listed = _json_words(self.text)
        if listed is not None:
            return listed
        return [word.strip("\"'") for word in self.text.replace("\\\n", " ").split("\n", 1)[0].split()]

    def commands(self) -> Iterator[Command]:
        """What a RUN runs."""
        listed = _json_words(self.text)
        first_line = self.line + self.flags.count("\n")
        return commands_of(self.text if listed is None else shlex.join(listed), first_line=first_line)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What one FROM starts from; `reference` is None where only the build could tell."""

    line: int
    reference: str | None


def instructions_of(text: str) -> Iterator[Instruction]:
    """The instructions in their order."""
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        first = number
        match = _INSTRUCTION.match(lines[first])
        number = _end_of(lines, first)
        if not match:
            continue
        kept = [lines[first][match.end() :], *(_without_comment(line) for line in lines[first + 1 : number])]
        body = "\n".join(kept)
        flags = _FLAG.match(body)
        start = flags.end() if flags else 0
        yield Instruction(first + 1, match[1].upper(), body[:start], body[start:])


def base_images(instructions: list[Instruction]) -> Iterator[BaseImage]:
    """The images that are started from; stages of the same file and `scratch` are none. Defaults of ARG count."""
    defaults: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    for instruction in instructions:
        words = instruction.words()
        if instruction.name == "ARG":
            for word in words:
                name, given, value = word.partition("=")
                if given:
                    defaults[name] = value.strip("\"'")
        if instruction.name != "FROM" or not words:
            continue
        reference = _VARIABLE.sub(lambda found: _value(found, defaults), words[0])
        if reference.lower() not in stages:
            yield BaseImage(instruction.line, None if "$" in reference or not reference else reference)
        if len(words) > 2 and words[1].lower() == "as":
            stages.add(words[2].lower())


def _value(found: re.Match[str], defaults: dict[str, str]) -> str:
    name = found[1] or found[3]
    return defaults.get(name) or found[2] or "$"


def _end_of(lines: list[str], first: int) -> int:
    """The number of the first line after the instruction that begins here: continuations, then here-documents."""
    number = first
    while number < len(lines) and (lines[number].rstrip().endswith("\\") or _is_comment(lines, number, first)):
        number += 1
    number = min(number + 1, len(lines))
    for end in _HEREDOC.findall("\n".join(lines[first:number])) if _takes_heredocs(lines[first]) else []:
        while number < len(lines) and lines[number].strip() != end:
            number += 1
        number = min(number + 1, len(lines))
    return number


def _is_comment(lines: list[str], number: int, first: int) -> bool:
    return number > first and lines[number].lstrip().startswith("#")


def _without_comment(line: str) -> str:
    return "\\" if line.lstrip().startswith("#") else line


def _takes_heredocs(line: str) -> bool:
    return line.lstrip()[:4].upper().startswith(("RUN", "COPY", "ADD"))


def _json_words(text: str) -> list[str] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        words = json.loads(text.replace("\\\n", " "))
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None
