"""What the README shows works."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from luthien import Event, Policy, Request, Server, ToolCall, message, response, text_block, tool_call_block
from luthien.events import Ended, TextDelta
from test_recorded import block, call, step

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
FILES = {re.match(r"# (\S+)", code)[1]: code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL)}  # type: ignore[index]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the README, in a folder."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in FILES:
        importlib.sys.modules.pop(name.removesuffix(".py"), None)  # type: ignore[attr-defined]


def test_every_file_of_the_readme_is_tested() -> None:
    assert list(FILES) == ["no_deletes.py", "test_no_deletes.py", "over_calls.py", "my_proxy.py"]


def test_the_test_passes() -> None:
    importlib.import_module("test_no_deletes").test_deletes_are_refused()


def test_an_export_is_gone_through(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = block(0, "tool_call", 2, 4, {"name": "delete_file", "form": "function", "arguments": "{}"})
    recorded = call(step(1, "started", {"id": "r", "model": "m"}), tool, step(5, "ended", {}))
    (folder / "calls.jsonl").write_text(json.dumps(recorded) + "\n")
    importlib.import_module("over_calls")
    assert capsys.readouterr().out == f"{recorded['call_id']} I may not call delete_file.\n"


def test_the_proxy_gets_its_verdicts(folder: Path) -> None:
    policy: type[Policy] = importlib.import_module("no_deletes").NoDeletes
    written: list[Event] = []

    async def ask(request: Request) -> AsyncIterator[Event]:
        assert request.model == "m"
        for event in response(text_block(0, "Well. "), tool_call_block(1, ToolCall("delete_all"), "{}")):
            yield event

    async def test() -> None:
        async with Server(policy, "127.0.0.1:0") as server:
            code = FILES["my_proxy.py"].replace("127.0.0.1:50061", server.address)
            (folder / "my_proxy.py").write_text(code)
            judged = importlib.import_module("my_proxy").judged
            assert await judged(Request(model="m", messages=[message("user", "Go")]), ask, written.append) == "done"

    asyncio.run(asyncio.wait_for(test(), 60))
    texts = [event.step.text for event in written if isinstance(event.step, TextDelta)]
    assert texts == ["Well. ", "I may not call delete_all."] and written[-1].step == Ended()
