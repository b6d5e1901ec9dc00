"""Networks on this machine."""

import _thread
import signal
import threading

import numpy as np
import pytest
from onnx import helper

import mpc

TINY = 2.0**-12


def test_private_results_are_those_in_the_clear(digits, net):
    x = digits.x[:7]
    clear, simulated, private = (net.run(x, mode=mode) for mode in ("clear", "simulate", "local"))
    np.testing.assert_allclose(clear["probabilities"], digits.classifier.predict_proba(x), atol=1e-5)
    for outputs in (simulated, private):
        np.testing.assert_allclose(outputs["probabilities"], clear["probabilities"], atol=TINY)
        assert outputs["label"].dtype == np.int64
        np.testing.assert_array_equal(outputs["label"], digits.classifier.predict(x))


@pytest.mark.parametrize("parties", [2, 3])
def test_a_run_costs_what_was_said_before(digits, net, parties):
    cost = net.cost(parties, shapes={"X": (5, 64)})
    net.run(digits.x[:5], parties=parties)
    report = net.report
    assert (report.bytes_sent, report.rounds) == (cost.bytes_sent, cost.rounds)
    assert report.data["phases"]["preprocessing"]["bytes_received"][-1] == cost.dealt_bytes
    assert [row["bytes_sent"] for row in report] == [row["bytes_sent"] for row in cost]
    assert sum(row["dealt_bytes"] for row in cost) <= cost.dealt_bytes
    assert report.data["agree"]
    assert cost.parties == parties


def test_the_cost_of_a_network_by_name():
    net = mpc.load("resnet32")
    cost = net.cost()
    assert (cost.bytes_sent, cost.rounds, cost.dealt_bytes) == (3_480_648, 126, 18_986_872)
    assert cost.seconds["wan"] > cost.seconds["lan"] > 0
    assert net.inputs[0].shape == (1, 3, 32, 32)
    assert net.cost(owner_computes=True).bytes_sent < cost.bytes_sent


def test_a_fixed_batch_runs_once_for_each(model):
    weight = np.array([[1.0, -2.0], [0.5, 4.0], [0.0, 1.0]], np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    net = mpc.load(model([node], {"x": [2, 3]}, {"y": [2, 2]}, {"w": weight}))
    x = np.arange(18, dtype=np.int64).reshape(6, 3) - 9
    for mode in ("clear", "simulate", "local"):
        np.testing.assert_allclose(net.run(x, mode=mode), x @ weight, atol=TINY)
    assert net.report.data["count"] == 6
    assert net.report.rounds == 3 * net.cost().rounds
    with pytest.raises(mpc.InputError, match=r"`x` has shape \[3, 3\], but the network takes \[2, 3\]"):
        net.run(x[:3])


def test_several_inputs_by_name(model):
    node = helper.make_node("Mul", ["a", "b"], ["y"])
    net = mpc.load(model([node], {"a": ["n", 2], "b": ["n", 2]}, {"y": ["n", 2]}))
    a, b = np.array([[1.5, -2.0], [3.0, 0.25]]), np.array([[2.0, 2.0], [-1.0, 8.0]])
    np.testing.assert_allclose(net.run({"b": b, "a": a}), a * b, atol=TINY)
    np.testing.assert_allclose(net.run((a, b)), a * b, atol=TINY)
    for few_or_many in (a, (a,), (a, b, b)):
        with pytest.raises(mpc.InputError, match="give a tuple or dict"):
            net.run(few_or_many)
    with pytest.raises(mpc.InputError, match="the second argument is the mode"):
        net.run(a, b)
    with pytest.raises(mpc.InputError, match="the input `b` is missing"):
        net.run({"a": a})
    with pytest.raises(mpc.InputError, match="no input `c`"):
        net.run({"a": a, "b": b, "c": b})
    assert [tensor.name for tensor in net.inputs] == ["a", "b"]
    assert net.inputs[0].shape == ("n", 2)


def test_what_cannot_run_is_named(model, tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="fine"),
        helper.make_node("StringNormalizer", ["r"], ["s"], name="first"),
        helper.make_node("NonZero", ["x"], ["y"], name="second"),
    ]
    with pytest.raises(mpc.UnsupportedError) as raised:
        mpc.load(model(nodes, {"x": [2]}, {"s": [2], "y": [1, 2]}))
    assert raised.value.node == "first"
    assert [reason.node for reason in raised.value.reasons] == ["first", "second"]
    assert [reason.operator for reason in raised.value.reasons] == ["StringNormalizer", "NonZero"]
    for path in ("missing.onnx", "no-such-network"):
        with pytest.raises(mpc.InputError, match=path.split(".")[0]):
            mpc.load(path)
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(mpc.InputError, match="not a complete ONNX model"):
        mpc.load(tmp_path / "text.onnx")


def test_inputs_that_cannot_be_used(digits, net, model):
    for x, text in [
        (digits.x[:1].astype(complex), "no real numbers"),
        (np.full((1, 64), 2**24 + 1), "no float32 holds exactly"),
        (np.full((1, 64), np.nan), "NaN"),
        (digits.x[:1, :63], "shape"),
        (["text"], "no real numbers"),
    ]:
        with pytest.raises(mpc.InputError, match=text):
            net.run(x)
    with pytest.raises(mpc.RangeError) as raised:
        net.run(np.full((1, 64), 20_000.0))
    # Keywords of Python, not flags of the command line.
    assert "comparison_bits" in str(raised.value)
    assert "--" not in str(raised.value)
    square = mpc.load(model([helper.make_node("Mul", ["x", "x"], ["y"], name="square")], {"x": [1]}, {"y": [1]}))
    with pytest.raises(mpc.RangeError) as raised:
        square.run([300.0])
    # A node becomes layers of its name.
    assert raised.value.node.split("/")[0] == "square"
    assert isinstance(raised.value, (mpc.InputError, ValueError))


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"parties": 9}, "2 to 8"),
        ({"mode": "secretly"}, '"clear", "simulate", "local"'),
        ({"ring": 48}, "32, 64 or 128"),
        ({"threads": 0}, "at least one"),
        ({"link": "moon"}, "such as 40ms,100Mbit"),
        ({"comparisons": "auto"}, "link"),
        ({"deadline": 0}, "seconds"),
        ({"fractional_bits": 70}, "bits"),
    ],
)
def test_keywords_that_cannot_be_used(digits, net, keywords, text):
    with pytest.raises(mpc.InputError, match=text):
        net.run(digits.x[:1], **keywords)


def test_a_check_says_what_departs(digits, net, model):
    check = net.check(digits.x[:3])
    assert check.ok
    assert check.first_departing is None
    assert check.accuracy is None
    logits = mpc.load(
        model([helper.make_node("Gemm", ["x", "w"], ["y"], name="scores")], {"x": ["n", 2]}, {"y": ["n", 2]},
              {"w": 100 * np.eye(2, dtype=np.float32)})
    )  # fmt: skip
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert logits.check(x, [0, 1, 1]).accuracy == dict.fromkeys(("floating_point", "fixed_point", "private"), 2 / 3)
    with pytest.raises(mpc.InputError, match="2 labels for 3 samples"):
        logits.check(x, [0, 1])
    with pytest.raises(mpc.InputError, match="integers from 0"):
        logits.check(x, [0, 1, -1])
    assert not logits.check(x * 1000).ok


def test_a_check_without_private_results_is_not_ok():
    layer = {"name": "y", "kind": "relu", "smallest": 0.0, "largest": 1.0, "fixed_point_error": 0.0}
    layers = [layer | {"private_error": None, "departs": False, "out_of_range": False}]
    numbers = dict.fromkeys(("largest_magnitude", "bound", "smallest_comparison_bits"), 1)
    data = numbers | {"layers": layers, "first_departing": None, "accuracy": None}
    check = mpc.Check(data | {"has_private": False})
    assert not check.ok
    assert "a private run gave no result" in str(check)
    assert mpc.Check(check.data | {"has_private": True}).ok


def test_bounds_of_values_save_bytes(digits, net, model, tmp_path):
    file, x = tmp_path / "digits.json", digits.x[200:203]
    assert net.check(digits.x[:150], calibrate=file, margin=2).ok
    plain, narrow = (net.cost(shapes={"X": (3, 64)}, widths=widths) for widths in (None, file))
    assert narrow.bytes_sent < plain.bytes_sent
    assert narrow.dealt_bytes < plain.dealt_bytes
    clear = net.run(x, mode="clear")
    # The bounds of one call are not those of the next one.
    for cost, widths in ((narrow, file), (plain, None), (narrow, str(file))):
        for mode in ("simulate", "local"):
            outputs = net.run(x, mode=mode, widths=widths)
            np.testing.assert_allclose(outputs["probabilities"], clear["probabilities"], atol=TINY)
        assert net.report.bytes_sent == cost.bytes_sent
    assert net.check(x, widths=file).ok
    shapes = {"X": (3, 64)}
    assert net.pack(shapes=shapes, widths=file)[0].digest != net.pack(shapes=shapes)[0].digest
    # A batch of one has other nodes.
    with pytest.raises(mpc.InputError, match="another network's"):
        net.cost(widths=file)
    # A file that is written again is read again.
    net.check(digits.x[:150], calibrate=file, margin=4)
    assert net.cost(shapes={"X": (3, 64)}, widths=file).bytes_sent > narrow.bytes_sent
    other = mpc.load(model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2]}, {"y": [2]}))
    for call, text in [
        (lambda: other.run([1.0, 2.0], widths=file), "digits.json"),
        (lambda: net.run(x, widths="calibrated"), "no calibration comes with"),
        (lambda: net.run(x, widths=tmp_path / "none.json"), "none.json"),
        (lambda: net.check(x, calibrate=file, margin=0), "1 to 16"),
        (lambda: net.check(x, calibrate=file, widths=file), "one of the two"),
    ]:
        with pytest.raises(mpc.InputError, match=text):
            call()


def test_bounds_that_come_with_a_network():
    assert mpc.load("resnet32").cost(widths="calibrated").bytes_sent == 2_598_216


def test_without_a_dealer(model):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    weight = np.array([[1.0, -2.0], [0.5, 4.0]], np.float32)
    net = mpc.load(model(nodes, {"x": [1, 2]}, {"y": [1, 2]}, {"w": weight}))
    cost = net.cost(no_dealer=True)
    assert "without a dealer" in str(cost)
    x = np.array([[0.75, -1.5]])
    np.testing.assert_allclose(net.run(x, no_dealer=True), np.maximum(x @ weight, 0), atol=TINY)
    assert (net.report.bytes_sent, net.report.rounds) == (cost.bytes_sent, cost.rounds)
    assert net.report.data["no_dealer"]
    digests = {net.pack(**keywords)[0].digest for keywords in (
        {}, {"no_dealer": True}, {"no_dealer": True, "session_inferences": 9}, {"no_dealer": True, "outsourced": True},
        {"comparisons": "few-bytes"}, {"no_dealer": True, "comparisons": "few-rounds"},
    )}  # fmt: skip
    assert len(digests) == 6
    for keywords, text in [
        ({"no_dealer": True, "parties": 3}, "dealer"),
        ({"session_inferences": 3}, "no_dealer=True"),
        ({"no_dealer": True, "session_inferences": 0}, "at least one"),
        ({"comparisons": "few"}, "comparisons"),
    ]:
        with pytest.raises(mpc.InputError, match=text):
            net.pack(**keywords)


def test_comparisons_by_the_link(model):
    net = mpc.load(model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 4000]}, {"y": [1, 4000]}))
    chosen = {"200ms,1Gbit": "few-rounds", "1ms,10Mbit": "few-bytes"}
    for link, variant in chosen.items():
        asked, cost = net.cost(comparisons=variant), net.cost(link=link)
        assert (cost.rounds, cost.bytes_sent) == (asked.rounds, asked.bytes_sent)
        assert cost.data["over_link"]["link"] == link
        assert net.pack(link=link)[0].digest == net.pack(comparisons=variant)[0].digest
    net.run(np.ones((1, 4000)), comparisons="auto", link="1ms,10Mbit")
    assert net.report.data["comparisons"] == "few bytes"


def test_the_interpreter_runs_meanwhile(digits, net):
    ticks, done = 0, threading.Event()

    def tick():
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    net.run(digits.x[:1], link="lan")
    done.set()
    thread.join()
    assert ticks > 3


@pytest.fixture
def interruptible():
    """Python's own answer to Ctrl-C: what a shell runs in the background begins without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_run(digits, net):
    timer = threading.Timer(0.2, _thread.interrupt_main, (signal.SIGINT,))
    timer.start()
    # Longer than any test waits: 40 ms for each of 41 rounds, for each of 100 images.
    one = mpc.load(digits.path)
    with pytest.raises(KeyboardInterrupt):
        one.run(digits.x[:100], link="wan", deadline=1000)
    # Nothing is left behind that a later run would feel.
    assert net.run(digits.x[:1])["label"].shape == (1,)


def test_progress_comes_as_tqdm_shows_it(digits, net, capsys):
    pytest.importorskip("tqdm")
    net.run(digits.x[:1], progress=True, link="lan")
    assert "private inference" in capsys.readouterr().err
    net.run(digits.x[:1])
    assert capsys.readouterr().err == ""


def test_tables_for_notebooks_and_programs(digits, model):
    node = helper.make_node("Relu", ["x"], ["y"], name="<script>&")
    cost = mpc.load(model([node], {"x": [3]}, {"y": [3]})).cost()
    assert isinstance(cost, list)
    assert any(row["layer"].startswith("<script>&") for row in cost)
    html = cost._repr_html_()
    assert "&lt;script&gt;&amp;" in html
    assert "<script>" not in html
    assert html.count("<tr>") == len(cost) + 1
    assert "rounds" in str(cost)
    net = mpc.load(digits.path)
    net.run(digits.x[:1])
    assert net.report._repr_html_().count("<tr>") == len(net.report) + 1
    assert "probabilities" in repr(net)


def test_packed_parts(digits, net, tmp_path):
    public, private = net.pack(parties=3, reveal_to="both")
    assert public.parties == 3
    assert "model owner" in public.disclosure
    public.save(tmp_path / "net.public")
    private.save(tmp_path / "net.private")
    assert (tmp_path / "net.private").stat().st_mode & 0o077 == 0
    assert mpc.PublicModel.load(tmp_path / "net.public").digest == public.digest
    assert mpc.PublicModel.load(tmp_path / "net.public", max_network=2).digest == public.digest
    assert "secret" in repr(private)
    with pytest.raises(mpc.InputError, match="not a packed model"):
        mpc.PublicModel.load(digits.path)
    with pytest.raises(mpc.InputError, match="reveal"):
        net.pack(reveal="nothing")


def test_values_that_keep_few_bits_are_told(model):
    net = mpc.load(
        model([helper.make_node("Div", ["x", "z"], ["y"], name="ratio")], {"x": [1, 2], "z": [1, 2]}, {"y": [1, 2]}, {})
    )
    with pytest.warns(UserWarning, match=r"values of `[xz]` about 0.0001\d? keep \d.\d bits; fractional_bits=\d+"):
        net.run((np.array([[1.3e-4, 2e-4]]), np.array([[1e-4, 1.2e-4]])))
    assert "ratio" in net.report.departure
    net.run((np.array([[1.3, 2.0]]), np.array([[1.0, 1.2]])))
    assert net.report.departure is None
