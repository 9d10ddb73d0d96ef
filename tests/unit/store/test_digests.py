"""Digests of a cell's files: what counts as a result, and what is told of each file."""

import hashlib
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.digests import digest_file, digest_folder, find_damage


def test_size_and_sha(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a") == {
        "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest(),
    }  # fmt: skip
    with pytest.raises(FpnProbeError, match=r"cannot read .*gone: No such file or directory$"):
        digest_file(tmp_path / "gone")


def test_only_results_have_digests_by_their_place_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "offline").mkdir()
    kept = ("ledger.parquet", "offline/ledger.parquet")
    left_out = ("manifest.json", "lock", "log.txt", "progress.json", "attribution.parquet",
                "offline/resume.pt", ".ledger.parquet.x1")  # fmt: skip
    for name in (*kept, *left_out):
        (tmp_path / name).write_text(name)
    assert tuple(digest_folder(tmp_path)) == kept


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"abc", {}), (b"abd", {"a": "changed"}), (b"abcd", {"a": "changed"}),
     (None, {"a": "missing"})],
)  # fmt: skip
def test_what_became_of_a_file(content: bytes | None, told: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digests = digest_folder(tmp_path)
    (tmp_path / "a").unlink()
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    assert find_damage(tmp_path, digests) == told
    assert find_damage(tmp_path, digests, ["a", "unknown"]) == told
    assert find_damage(tmp_path, digests, ["unknown"]) == {}
    assert find_damage(tmp_path, digests, []) == {}
