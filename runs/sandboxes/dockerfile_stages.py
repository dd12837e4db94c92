"""The Dockerfile as it is sent to the engine: the task's, with our label in every stage and other bases where needed.

The label is what tells the intermediate images of a build that failed, or of its earlier stages, from other people's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from runs.tasks.dockerfile import Instruction, base_images, instructions_of

LABEL_LINE = "LABEL pier-site=1"
FROM = re.compile(r"(?P<head>[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*)(?P<reference>\S+)(?P<tail>.*)", re.IGNORECASE)
PARSE_ERROR_LINE = re.compile(r"(?<=parse error line )[0-9]+|(?<=parse error on line )[0-9]+")


def images_of_stages(text: str, build_args: Iterable[tuple[str, str]] = ()) -> dict[int, str]:
    """The images that its stages start from, by the line of their FROM; those that only the build can name are not in.

    Values given for ARG instructions count, then their defaults.
    """
    given = dict(build_args)
    instructions = [_with_value(instruction, given) for instruction in instructions_of(text)]
    return {base.line: base.reference for base in base_images(instructions) if base.reference}


def dockerfile_to_send(text: str, bases: Mapping[int, str]) -> str:
    """The text with the label after each FROM, and with `bases` in the place of what these lines start from."""
    lines = text.replace("\r\n", "\n").split("\n")
    for instruction in instructions_of(text):
        index = instruction.line - 1
        match = FROM.fullmatch(lines[index])
        if instruction.name != "FROM" or not match or lines[index].rstrip().endswith("\\"):
            continue
        reference = bases.get(instruction.line, match["reference"])
        lines[index] = f"{match['head']}{reference}{match['tail']}\n{LABEL_LINE}"
    return "\n".join(lines)


def with_original_lines(failure: str, sent: str) -> str:
    """What the engine says is wrong, with the line numbers of the Dockerfile that its author knows."""
    lines = sent.split("\n")

    def original(found: re.Match[str]) -> str:
        number = int(found[0])
        return str(number - lines[: number - 1].count(LABEL_LINE))

    return PARSE_ERROR_LINE.sub(original, failure)


def _with_value(instruction: Instruction, given: Mapping[str, str]) -> Instruction:
    if instruction.name != "ARG":
        return instruction
    words = [
        f"{name}={given[name]}" if (name := word.partition("=")[0]) in given else word for word in instruction.words()
    ]
    return replace(instruction, text=" ".join(words))
