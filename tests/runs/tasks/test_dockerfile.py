from hypothesis import given
from hypothesis import strategies as st

from runs.tasks.dockerfile import base_images, instructions_of

DOCKERFILE = """# syntax=docker/dockerfile:1
ARG TAG=3.12
FROM --platform=linux/amd64 python:${TAG}-slim AS build
RUN --mount=type=cache,target=/c \\
    # why
    pip install a && \\
    pip install b
FROM build
FROM $UNKNOWN
FROM scratch
COPY --chown=1:1 ["a b", "/x/"]
RUN <<EOF
pip install c
EOF
from debian
"""


def test_instructions_have_their_lines_and_flags() -> None:
    found = list(instructions_of(DOCKERFILE))
    assert [(one.line, one.name) for one in found] == [
        (2, "ARG"), (3, "FROM"), (4, "RUN"), (8, "FROM"), (9, "FROM"), (10, "FROM"), (11, "COPY"), (12, "RUN"),
        (15, "FROM"),
    ]  # fmt: skip
    assert found[2].flags.strip(" \\\n") == "--mount=type=cache,target=/c"
    assert found[6].words() == ["a b", "/x/"]


def test_a_run_gives_its_commands_with_their_lines() -> None:
    run = next(one for one in instructions_of(DOCKERFILE) if one.name == "RUN")
    assert [(command.line, command.words[-1]) for command in run.commands()] == [(6, "a"), (7, "b")]


def test_stages_and_scratch_are_no_base_images() -> None:
    images = [(base.line, base.reference) for base in base_images(list(instructions_of(DOCKERFILE)))]
    assert images == [(3, "python:3.12-slim"), (9, None), (15, "debian")]


@given(st.text(alphabet="FROMRUNCPY ab\\\n#<[\"']=${}-", max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    instructions = list(instructions_of(text))
    list(base_images(instructions))
    for instruction in instructions:
        instruction.words()
        list(instruction.commands())
