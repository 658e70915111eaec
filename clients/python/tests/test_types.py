"""The package, its examples and its tests are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_everything_is_typed(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path)]
    for what in (["-p", "luthien"], [str(ROOT / "tests"), str(ROOT / "examples")]):
        done = subprocess.run([*check, *what], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
