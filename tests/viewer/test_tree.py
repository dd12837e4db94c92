"""Artifacts by folder, as the tab shows them."""

from runs.models import Artifact
from viewer.tree import MAX_DEPTH, MAX_FOLDERS, tree_of


def tree(*paths: str, folders: tuple[str, ...] = ()) -> list[tuple[int, str, bool]]:
    kinds = {True: Artifact.Kind.DIRECTORY, False: Artifact.Kind.FILE}
    artifacts = [Artifact(path=path, kind=kinds[path in folders]) for path in paths]
    return [(row.depth, row.name, row.artifact is not None) for row in tree_of(artifacts)]


def test_each_folder_has_one_row_above_what_is_in_it() -> None:
    assert tree("artifacts/a/b/one", "artifacts/a/b/two", "artifacts/a/three", "artifacts/four", "five") == [
        (0, "artifacts", False),
        (1, "a", False),
        (2, "b", False),
        (3, "one", True),
        (3, "two", True),
        (2, "three", True),
        (1, "four", True),
        (0, "five", True),
    ]


def test_a_folder_that_is_an_artifact_itself_is_not_named_twice() -> None:
    assert tree("out", "out/file", folders=("out",)) == [(0, "out", True), (1, "file", True)]
    assert tree("out", "out-2/file", folders=("out",)) == [(0, "out", True), (0, "out-2", False), (1, "file", True)]


def test_a_page_that_begins_within_a_folder_says_in_which() -> None:
    assert tree("artifacts/b/x") == [(0, "artifacts", False), (1, "b", False), (2, "x", True)]


def test_a_path_of_hundreds_of_folders_stays_a_few_rows() -> None:
    rows = tree("d/" * 400 + "x")
    assert len(rows) == MAX_FOLDERS + 1
    assert max(depth for depth, _, _ in rows) == MAX_DEPTH
    assert rows[-1][1].endswith("d/x")


def test_odd_paths_have_names() -> None:
    assert tree("/x", "a//b", "") == [
        (0, "", False),
        (1, "x", True),
        (0, "a", False),
        (1, "", False),
        (2, "b", True),
        (0, "", True),
    ]
