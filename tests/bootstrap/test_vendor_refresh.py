"""`make vendor` writes what was pinned and nothing else."""

import io
import tarfile
from pathlib import Path

import pytest

from pier_site.bootstrap import vendor
from pier_site.bootstrap.terminal import SetupFailed
from pier_site.bootstrap.vendor import member, refresh

LIST = """
[thing]
file = "thing.js"
package = "thing"
version = "1.0.0"
path = "dist/thing.js"
sha256 = "{digest}"
licence = "MIT"
"""
CONTENT_SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of b"foo"


def package(content: bytes) -> bytes:
    """An npm tarball with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/dist/thing.js")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_a_file_with_the_pinned_hash_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "tarball", lambda _: package(b"foo"))
    (tmp_path / "vendor.toml").write_text(LIST.format(digest=CONTENT_SHA256))
    refresh(tmp_path)
    assert (tmp_path / "thing.js").read_bytes() == b"foo"


def test_other_bytes_are_refused_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "tarball", lambda _: package(b"evil"))
    (tmp_path / "vendor.toml").write_text(LIST.format(digest=CONTENT_SHA256))
    (tmp_path / "thing.js").write_bytes(b"foo")
    with pytest.raises(SetupFailed, match=r"thing@1\.0\.0.*has the sha256"):
        refresh(tmp_path)
    assert (tmp_path / "thing.js").read_bytes() == b"foo"


def test_a_package_without_the_file_is_refused() -> None:
    with pytest.raises(SetupFailed, match=r"no file package/other\.js"):
        member(package(b"foo"), "package/other.js")
