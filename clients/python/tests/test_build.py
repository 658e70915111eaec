"""The package is built from a checkout, and from what is published of it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def built(folder: Path, target: str, into: Path) -> Path:
    build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = into.iterdir()
    return made


def test_a_wheel_is_built_from_an_sdist(tmp_path: Path) -> None:
    sdist = built(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if "_pb2" in name]
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheels = [built(folder, "wheel", tmp_path / name) for folder, name in ((unpacked, "one"), (ROOT, "other"))]
    names, others = (sorted(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    assert names == others
    generated = {f"luthien/v1/{name}_pb2.{ending}" for name in ("call", "policy") for ending in ("py", "pyi")}
    assert generated | {"luthien/py.typed", "luthien/__init__.py"} <= set(names)
