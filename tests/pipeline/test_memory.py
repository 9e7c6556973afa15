"""The memory counted is what the process may use, and decoders together take half of it at most."""

import os
from pathlib import Path

from pipeline.label.settings import LEAST_DECODER_BYTES, LabelSettings
from pipeline.memory import cgroup_memory_bytes, count_memory_bytes

GIB = 1 << 30


def test_the_tightest_limit_on_the_way_up_bounds(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    inner = root / "pod" / "container"
    inner.mkdir(parents=True)
    own.write_text("0::/pod/container\n")
    assert cgroup_memory_bytes(root, own) is None
    (root / "pod" / "memory.max").write_text(f"{32 * GIB}\n")
    (inner / "memory.max").write_text("max\n")
    assert cgroup_memory_bytes(root, own) == 32 * GIB
    assert 0 < count_memory_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_decoders_leave_half_of_the_memory_to_the_teachers() -> None:
    settings = LabelSettings()
    assert settings.limits_for(8, 32 * GIB).memory_bytes == 2 * GIB
    assert settings.limits_for(8, 512 * GIB).memory_bytes == 4 * GIB
    assert settings.limits_for(16, 8 * GIB).memory_bytes == LEAST_DECODER_BYTES
    assert LabelSettings(decoder_memory_bytes=3 * GIB).limits_for(16, 8 * GIB).memory_bytes == 3 * GIB
