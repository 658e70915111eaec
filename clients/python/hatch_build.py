"""Generates the messages of the protocol from its `.proto` files.

They are the repository's, two folders up; in an sdist they lie beside this file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAMES = ("call", "policy")


class ProtocolHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the `.proto` files into an sdist, and what is generated from them into a wheel."""

    _made: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        protos = self._protos()
        if self.target_name == "sdist":
            for name in NAMES:
                path = protos / "luthien" / "v1" / f"{name}.proto"
                build_data["force_include"][str(path)] = f"proto/luthien/v1/{name}.proto"
        elif version == "editable":
            self._generate(protos, Path(self.root) / "src")
        else:
            self._made = tempfile.TemporaryDirectory()
            made = Path(self._made.name)
            self._generate(protos, made)
            for path in (made / "luthien" / "v1").iterdir():
                build_data["force_include"][str(path)] = f"luthien/v1/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._made is not None:
            self._made.cleanup()

    def _protos(self) -> Path:
        root = Path(self.root)
        for folder in (root / "proto", root.parent.parent / "proto"):
            if (folder / "luthien" / "v1" / "policy.proto").is_file():
                return folder
        raise FileNotFoundError("luthien/v1/policy.proto is neither in the repository nor in this sdist")

    @staticmethod
    def _generate(protos: Path, into: Path) -> None:
        from grpc_tools import protoc

        files = [str(protos / "luthien" / "v1" / f"{name}.proto") for name in NAMES]
        arguments = ["protoc", f"--proto_path={protos}", f"--python_out={into}", f"--pyi_out={into}"]
        if protoc.main([*arguments, *files]) != 0:
            raise RuntimeError("protoc could not read the protocol")
