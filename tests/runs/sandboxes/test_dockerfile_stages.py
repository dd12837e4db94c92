"""The Dockerfile that is sent: labelled in every stage, on other bases where asked, otherwise what its author wrote."""

from hypothesis import given
from hypothesis import strategies as st

from runs.sandboxes.dockerfile_stages import dockerfile_to_send, images_of_stages, with_original_lines

TWO_STAGES = """# syntax=docker/dockerfile:1
ARG VERSION=3.11
FROM --platform=linux/amd64 python:$VERSION AS build
RUN echo "FROM nothing"
from build
COPY --from=build /x /x
"""


def test_the_images_that_stages_start_from_are_found_by_their_lines() -> None:
    assert images_of_stages(TWO_STAGES) == {3: "python:3.11"}
    assert images_of_stages(TWO_STAGES, [("VERSION", "3.12")]) == {3: "python:3.12"}
    assert images_of_stages("FROM scratch\nCOPY x /\n") == {}


def test_every_stage_gets_the_label_and_the_first_line_stays_first() -> None:
    sent = dockerfile_to_send(TWO_STAGES, {3: "pier-site/trust:abc"}).splitlines()
    assert sent == [
        "# syntax=docker/dockerfile:1",
        "ARG VERSION=3.11",
        "FROM --platform=linux/amd64 pier-site/trust:abc AS build",
        "LABEL pier-site=1",
        'RUN echo "FROM nothing"',
        "from build",
        "LABEL pier-site=1",
        "COPY --from=build /x /x",
    ]


def test_a_from_inside_a_here_document_stays_as_it_is() -> None:
    text = "FROM python:3\nRUN <<EOF\nFROM not an instruction\nEOF\n"
    assert dockerfile_to_send(text, {}).count("LABEL pier-site=1") == 1


def test_errors_name_the_lines_that_the_author_knows() -> None:
    sent = dockerfile_to_send("FROM a\nRUN b\nFROM c\nNONSENSE d\n", {})
    assert with_original_lines("dockerfile parse error line 6: unknown instruction", sent) == (
        "dockerfile parse error line 4: unknown instruction"
    )
    assert with_original_lines("the command on line 6 failed", sent) == "the command on line 6 failed"


@given(st.text())
def test_no_text_is_changed_but_for_the_label(text: str) -> None:
    sent = dockerfile_to_send(text, {})
    kept = [line for line in sent.split("\n") if line != "LABEL pier-site=1"]
    assert kept == [line for line in text.replace("\r\n", "\n").split("\n") if line != "LABEL pier-site=1"]
