import time

from hypothesis import given
from hypothesis import strategies as st

from runs.tasks.shell import commands_of


def words(text: str) -> list[tuple[str, ...]]:
    return [command.words for command in commands_of(text)]


def test_commands_are_split_and_their_lines_counted() -> None:
    text = "#!/bin/bash\n# pip install no\nset -e; cd /app && pip \\\n  install 'a b'\necho \"x; y\" | tee log\n"
    assert [(command.line, command.words) for command in commands_of(text)] == [
        (3, ("set", "-e")),
        (3, ("cd", "/app")),
        (3, ("pip", "install", "a b")),
        (5, ("echo", "x; y")),
        (5, ("tee", "log")),
    ]


def test_redirections_assignments_and_keywords_are_no_words() -> None:
    assert words("A=1 sudo pip install x >/dev/null 2>&1\nif curl u; then :; fi") == [
        ("pip", "install", "x"),
        ("curl", "u"),
        (":",),
    ]


def test_a_here_document_is_no_command() -> None:
    text = "cat <<'EOF' > f\npip install no\nEOF\npip install yes\n"
    assert [(command.line, command.words[0]) for command in commands_of(text)] == [(1, "cat"), (4, "pip")]


def test_only_what_surely_runs_is_certain() -> None:
    text = "a\nif b; then c; fi\nd || e\nf && g\n! h\nfor x in y; do i; done\nj"
    assert {command.words[0]: command.is_certain for command in commands_of(text)} == {
        "a": True, "b": False, "c": False, "d": False, "e": False, "f": True, "g": True, "h": False,
        "x": False, "i": False, "j": True,
    }  # fmt: skip


@given(st.text(alphabet="ab'\"\\$(){}<>|&;# \n=if", max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for command in commands_of(text):
        assert command.words
        assert 1 <= command.line <= text.count("\n") + 1


def test_hostile_texts_are_read_in_linear_time() -> None:
    started = time.monotonic()
    for part in ("${", "'a", '"', '\\"', "<<E\n", "((", "if ", "a;", "#"):
        list(commands_of(part * 50_000))
    assert time.monotonic() - started < 15
