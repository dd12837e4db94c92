"""docs/reference/rubrics.md says what there is: the built-in rubrics, the keys of a file, the keywords of a schema."""

import re
from pathlib import Path

from critique.formats.schema import KEYWORDS, MAX_NODES
from critique.rubrics.files import MAX_FILE_BYTES, RubricFile, parse_rubric
from critique.rubrics.loading import builtin_texts
from critique.rubrics.schemas import Answer

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/rubrics.md").read_text()
MANY = 10


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def table_after(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table after a text."""
    lines = PAGE.partition(heading)[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append(line.strip("|").split("|"))
    return rows


def test_every_builtin_rubric_is_there_with_its_subject_and_tags() -> None:
    rows = {names_in(row[0]).pop(): row for row in table_after("## Built-in rubrics")}
    assert rows.keys() == builtin_texts().keys()
    for name, text in builtin_texts().items():
        assert rows[name][1].split()[-1] == text.subject
        tags = {tag.name for tag in text.tags}
        said = {word for word in names_in(rows[name][3]) if word.isupper()}
        assert said <= tags if len(tags) > MANY else said == tags
    assert f"of {len(builtin_texts()['failure-modes'].tags)} modes" in PAGE


def test_every_key_of_a_file_is_there() -> None:
    for after, model in (("timeout_sec = 1200", RubricFile), ("(default 1800)", Answer)):
        assert {name for row in table_after(after) for name in names_in(row[0])} == model.model_fields.keys()


def test_the_example_is_a_rubric() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_rubric(example, Path("example.toml")).name == "our-house-rules"


def test_the_keywords_and_limits_are_those_of_the_code() -> None:
    told = PAGE.partition("These keywords may be used:")[2].partition("Others,")[0]
    assert names_in(told) - {"#/$defs/NAME"} == KEYWORDS
    assert f"more than {MAX_NODES:,} schemas" in PAGE
    assert f"at most {MAX_FILE_BYTES // 1024} KiB" in PAGE
