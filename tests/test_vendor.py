"""The vendored files are byte for byte what vendor.toml pins, and nothing else lies beside them."""

import hashlib

import pytest

from pier_site.bootstrap.vendor import FOLDER, Vendored, read_list


@pytest.mark.parametrize("entry", read_list(FOLDER), ids=lambda entry: entry.file)
def test_a_vendored_file_has_the_pinned_hash(entry: Vendored) -> None:
    assert hashlib.sha256((FOLDER / entry.file).read_bytes()).hexdigest() == entry.sha256


def test_every_vendored_file_is_listed() -> None:
    listed = {entry.file for entry in read_list(FOLDER)}
    assert {path.name for path in FOLDER.iterdir()} == listed | {"vendor.toml"}
