"""The code of the documentation, run as it stands."""

import re
import warnings
from pathlib import Path

import pytest
from onnx import helper

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["docs/python.md", "mpc-python/README.md", "README.md"])
def test_the_code_of_a_page_runs(page, digits, net, model, tmp_path, monkeypatch):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert blocks
    model([helper.make_node("NonZero", ["x"], ["y"], name="n")], {"x": [2]}, {"y": [1, 2]}, name="unsupported.onnx")
    for name in ("digits.onnx", "net.onnx"):
        (tmp_path / name).write_bytes(digits.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mpc.from_torch", lambda *_: net)
    names = {"x": digits.x[:6], "y": digits.y[:6], "module": None, "example": None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec("\n".join(blocks), names)
