from hypothesis import given
from hypothesis import strategies as st

from runs.tasks.toml_lines import TomlLines

TEXT = '''version = "1"
artifacts = ["a",
  "b"]

[environment]
script = """
cpus = 9
"""
cpus = 1
env = { A = "x" }

[verifier . environment]
"quoted key" = 1

[[steps]]
name = "a"
[steps.verifier]
timeout_sec = 1
[[steps]]
name = "b"
[steps.verifier]
timeout_sec = 2
[[steps.artifacts]]
source = "x"
'''


def test_keys_are_found_on_their_lines() -> None:
    lines = TomlLines(TEXT)
    assert [
        lines.line_of(path)
        for path in (
            "version",
            "environment.cpus",
            "verifier.environment.quoted key",
            "steps[0].verifier.timeout_sec",
            "steps[1].verifier.timeout_sec",
            "steps[1].artifacts[0].source",
        )
    ] == [1, 9, 13, 18, 22, 24]


def test_what_is_not_written_has_the_line_of_the_nearest_table() -> None:
    lines = TomlLines(TEXT)
    assert lines.line_of("environment.env.A") == 10
    assert lines.line_of("environment.gpus") == 5
    assert lines.line_of("steps[1].agent.user") == 19
    assert lines.line_of("artifacts[1]") == 2
    assert lines.line_of("nothing.at.all") is None


@given(st.text(alphabet="ab.[]\"'= \n#", max_size=200), st.text(alphabet="ab.[]01", max_size=40))
def test_no_text_and_no_path_breaks_the_scan(text: str, path: str) -> None:
    line = TomlLines(text).line_of(path)
    assert line is None or 1 <= line <= text.count("\n") + 1
