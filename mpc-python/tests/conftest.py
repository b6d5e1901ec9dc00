"""Networks and data that tests share."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import mpc


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A classifier of scikit-learn's digits, its file, and those it was not trained on."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    classifier = MLPClassifier((24,), max_iter=30, random_state=0)
    with pytest.warns(ConvergenceWarning):  # It could train longer.
        classifier.fit(images[:1400], labels[:1400])
    path = tmp_path_factory.mktemp("digits") / "digits.onnx"
    path.write_bytes(to_onnx(classifier, images[:1], options={"zipmap": False}).SerializeToString())
    return SimpleNamespace(classifier=classifier, path=path, x=images[1400:], y=labels[1400:])


@pytest.fixture(scope="session")
def net(digits):
    return mpc.load(digits.path)


@pytest.fixture
def model(tmp_path):
    """A function that writes a file of nodes between inputs and outputs, and returns its path."""

    def write(nodes, inputs, outputs, constants=(), name="net.onnx"):
        def tensors(shapes):
            return [helper.make_tensor_value_info(of, TensorProto.FLOAT, shape) for of, shape in shapes.items()]

        constants = [numpy_helper.from_array(value, of) for of, value in dict(constants).items()]
        graph = helper.make_graph(nodes, "graph", tensors(inputs), tensors(outputs), constants)
        opset = helper.make_opsetid("", 17)
        path = tmp_path / name
        path.write_bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def program():
    """The program ``mpc``."""
    path = os.environ.get("MPC_PROGRAM") or shutil.which("mpc")
    if path is None:
        pytest.skip("the program mpc is not installed: cargo install --path mpc-cli")
    return Path(path)
