import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic


def test_a_failed_write_keeps_the_old_file_and_leaves_no_remains(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    atomic.write_json(target, {"x": 1})

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        atomic.write(target, broken)
    assert target.read_text() == '{\n  "x": 1\n}\n'
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device", "x"), "No space left on device"),
        (OSError("a library has no number for it"), "a library has no number for it"),
    ],
)
def test_a_full_disk_is_one_line(error: OSError, reason: str, tmp_path: Path) -> None:
    def full(_file: BinaryIO) -> None:
        raise error

    with pytest.raises(FpnProbeError) as told:
        atomic.write(tmp_path / "a", full)
    assert str(told.value) == f"cannot write {tmp_path / 'a'}: {reason}"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FpnProbeError, match="cannot write"):
        atomic.write_text(tmp_path / "file" / "a", "x")


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "a", {"x": float("nan")})


def test_content_and_folder_are_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content before the rename, the folder after it: a loss of power keeps old or new."""
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content"
        if kind == "content":
            assert os.fstat(handle).st_size == 3, "what was written is flushed"
        order.append(kind)
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    atomic.write_text(tmp_path / "a", "abc")
    assert order == ["content", "rename", "folder"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read_what_is_written(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        atomic.write_text(tmp_path / "a", "x")
        assert os.umask(umask) == umask, "it is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
