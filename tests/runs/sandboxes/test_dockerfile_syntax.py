"""Here-documents are refused by name and place where the engine is too old for them, and nothing else is."""

from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.sandboxes.dockerfile_syntax import refuse_heredocs


def written(folder: Path, text: str) -> Path:
    path = folder / "Dockerfile"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN <<EOF\napt-get update\nEOF",
        "RUN <<-'END'\n  true\n\tEND",
        "RUN python3 <<EOF > /out\nprint(1)\nEOF",
        'COPY <<"EOF" /app/settings.ini\n[a]\nEOF',
        "RUN --network=none <<EOF\ntrue\nEOF",
        "RUN true && \\\n    cat <<EOF\ntrue\nEOF",
    ],
)
def test_a_heredoc_is_refused_with_its_line_on_an_old_engine(tmp_path: Path, instruction: str) -> None:
    path = written(tmp_path, f"# comment\nFROM x\nRUN true && \\\n    true\n{instruction}\nRUN true\n")
    with pytest.raises(
        SandboxFailed, match=r"Dockerfile:5: the Docker engine 20\.10\.24 cannot build the here-document"
    ):
        refuse_heredocs(path, "20.10.24")
    refuse_heredocs(path, "23.0.0")
    refuse_heredocs(path, "29.1.3")


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nRUN echo $((1 << 3)) $((1<<shift))\n",
        "FROM x\nRUN cat <<< word\n",
        "FROM x\nRUN echo '<<EOF'\nLABEL a=b\n",
        "# syntax=docker/dockerfile:1\nFROM x\nRUN <<EOF\ntrue\nEOF\n",
        'FROM x\nRUN echo "a <<EOF" && \\\n  true\n',
    ],
)
def test_what_is_no_heredoc_or_names_its_frontend_is_left_to_the_builder(tmp_path: Path, text: str) -> None:
    refuse_heredocs(written(tmp_path, text), "20.10.24")
