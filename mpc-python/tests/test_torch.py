"""Networks from PyTorch."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import mpc


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        mpc.from_torch(object(), np.zeros((1, 2)))


def test_a_module_is_exported_in_evaluation_mode_and_left_as_it_was(digits, monkeypatch):
    calls = []

    class Module:
        training = True

        def eval(self):
            self.training = False

        def train(self, mode):
            self.training = mode

    def export(module, arguments, path, **options):
        calls.append((module.training, len(arguments), options["input_names"]))
        with open(path, "wb") as file:
            file.write(digits.path.read_bytes())

    class NoGrad:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    torch = ModuleType("torch")
    torch.no_grad, torch.onnx = NoGrad, SimpleNamespace(export=export)
    monkeypatch.setitem(sys.modules, "torch", torch)
    module = Module()
    net = mpc.from_torch(module, digits.x[:1])
    assert calls == [(False, 1, ["x"])]
    assert module.training
    assert net.run(digits.x[:1])["label"].shape == (1,)
    with pytest.raises(ValueError, match="2 input_names for 1"):
        mpc.from_torch(module, digits.x[:1], input_names=["a", "b"])


def test_a_module_of_pytorch():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    x = torch.randn(1, 4)
    net = mpc.from_torch(module, x)
    np.testing.assert_allclose(net.run(x), module(x).detach().numpy(), atol=1e-3)


@pytest.mark.parametrize("has_newer_exporter", [True, False])
def test_attention_of_pytorch(monkeypatch, has_newer_exporter):
    torch = pytest.importorskip("torch")
    if not has_newer_exporter:
        monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    module = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    x = torch.randn(1, 3, 8)
    net = mpc.from_torch(module, x)
    assert torch.backends.mha.get_fastpath_enabled()
    np.testing.assert_allclose(net.run(x), module(x).detach().numpy(), atol=1e-2)


def test_types_are_right_beside_pytorch_too(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    mypy = pytest.importorskip("mypy.api")
    # The step of the checks has no PyTorch, whose own types say more of the same calls.
    monkeypatch.chdir(Path(__file__).parent.parent)
    found, errors, code = mypy.run(["--cache-dir", str(tmp_path)])
    assert code == 0, found + errors
