"""How much memory an upload needs: measured in a process of its own, as the rise of its peak."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_CODE = """
import re
from pathlib import Path
from pydantic import SecretStr
from zsync_pipelines.destinations.places import objects, sftp
from zsync_pipelines.destinations.places.choose import kind_of

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

{limit}
place = kind_of({url!r})({url!r}, {{name: SecretStr(value) for name, value in {options!r}.items()}})
place.clear("vip")
with (place.staging("vip", "run") / "adds.csv").open("wb") as file:
    for _ in range({size} // 2**20):
        file.write(b"x" * 2**20)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = peak()
place.put_run("vip", "run", ["adds.csv"], b"{{}}")
place.discard()
print(peak() - before)
"""


def memory_of_upload(url: str, options: Mapping[str, Any], size: int, limit: str = "") -> int:
    """Bytes by which memory grows while a file of `size` is put. `limit`: statements that set the place's limits."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell a process's peak of memory")
    texts = {name: "true" if value is True else value for name, value in options.items()}
    code = _CODE.format(url=url, options=texts, size=size, limit=limit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
