"""What a process may use is what its container grants, in both versions of the kernel's interface."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from sightglass.common.memory.machine import machine, writable

MIB = 2**20


def _written(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_a_container_it_is_the_whole_machine(tmp_path: Path) -> None:
    found = machine(tmp_path / "none", tmp_path)
    assert found.memory == psutil.virtual_memory().total
    assert 0 < found.free <= found.memory
    assert found.cores == int(found.cores) >= 1
    assert found.limited == ()


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (
            "0::/",
            {
                "memory.max": f"{64 * MIB}\n",
                "memory.current": f"{48 * MIB}\n",
                "memory.stat": f"anon 5\ninactive_file {8 * MIB}\n",
                "cpu.max": "50000 100000\n",
            },
        ),
        (
            "0::/kube/pod",
            {
                "kube/memory.max": f"{64 * MIB}\n",
                "kube/memory.current": f"{48 * MIB}\n",
                "kube/memory.stat": f"inactive_file {8 * MIB}\n",
                "kube/pod/memory.max": "max\n",
                "kube/pod/cpu.max": "50000 100000\n",
                "cpu.max": "max 100000\n",
            },
        ),
        (
            "4:memory:/docker/a\n1:cpu,cpuacct:/docker/a\n0::/",
            {
                "memory/memory.limit_in_bytes": f"{64 * MIB}\n",
                "memory/memory.usage_in_bytes": f"{48 * MIB}\n",
                "memory/memory.stat": f"cache 1\ntotal_inactive_file {8 * MIB}\n",
                "cpu/cpu.cfs_quota_us": "50000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
        ),
    ],
    ids=["version 2", "the group above", "version 1"],
)
def test_a_container_limits_it(groups: str, files: dict[str, str], tmp_path: Path) -> None:
    _written(tmp_path, {"proc": groups, **files})
    found = machine(tmp_path / "proc", tmp_path)
    assert found.memory == 64 * MIB
    # Files that the kernel only caches can be dropped.
    assert found.free == 24 * MIB
    assert found.cores == 0.5
    assert found.limited == ("memory", "cores")


def test_no_limit_and_what_cannot_be_read_are_none(tmp_path: Path) -> None:
    _written(
        tmp_path,
        {
            "proc": "4:memory:/\n1:cpu,cpuacct:/\n",
            "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert machine(tmp_path / "proc", tmp_path).limited == ()


def test_a_folder_can_be_made_where_nothing_is_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert writable(tmp_path / "new" / "folder") == tmp_path
    assert writable(tmp_path / "file" / "folder") is writable(tmp_path / "link") is None
