"""Runs one of the benchmark's subjects through CrypTen, when told to.

`cargo xtask bench --crypten PYTHON` starts this as `PYTHON bench.py SUBJECT PARTIES PROVIDER BATCH` and writes a line
to its standard input for each run; it answers each with one JSON object on a line, after a first one that says it is
ready. In between, all its processes sleep. Each party is a process with one thread; they talk over loopback TCP
(gloo).

PROVIDER says where the correlations come from:
  given  all are made by CrypTen's trusted first party before the clock starts, and kept in CrypTen's own cache of
         tuples: what is measured is the online phase alone
  ttp    a separate process, CrypTen's trusted third party, makes them while the clock runs: everything is measured

Weights are random, shared by party 0 before the clock starts; party 1 shares the input. The clock runs from the input
to the revealed result; a second one runs around the layers alone. Every result is compared with that in the clear.
The first passes, which also count rounds, are not reported.
"""

import contextlib
import json
import os
import socket
import struct
import sys
import tempfile
import time
import types

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["GLOO_SOCKET_IFNAME"] = "lo"

import multiprocessing  # noqa: E402

import torch  # noqa: E402
import torch.onnx  # noqa: E402

# CrypTen imports this for its ONNX import, which is not used here; newer PyTorch has it no more.
if "torch.onnx._internal.registration" not in sys.modules:
    try:
        import torch.onnx._internal.registration  # noqa: F401
    except ImportError:
        SHIM = types.ModuleType("torch.onnx._internal.registration")
        SHIM.registry = None
        sys.modules[SHIM.__name__] = SHIM

# Who shares what.
MODEL_OWNER, DATA_OWNER = 0, 1
# How long one pass may take, in seconds.
LIMIT = 600
# The largest error of a result about which nothing is said.
TOLERANCE = 0.05


def conv(nn, inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


class ResNet32:
    """ResNet-32 with batch normalisation folded and shortcuts without parameters, as in mpc-models."""

    def __init__(self, nn):
        self.first = conv(nn, 3, 16, 3)
        self.blocks = []
        channels = 16
        for stage, width in enumerate([16, 32, 64]):
            for block in range(5):
                stride = 2 if stage > 0 and block == 0 else 1
                self.blocks.append((conv(nn, channels, width, 3, stride), conv(nn, width, width, 3), stride))
                channels = width
        self.last = nn.Linear(64, 10)

    def modules(self):
        return [self.first, *(module for block in self.blocks for module in block[:2]), self.last]

    def __call__(self, x):
        x = self.first(x).relu()
        for first, second, stride in self.blocks:
            y = second(first(x).relu())
            if stride != 1:
                new = y.size(1) - x.size(1)
                x = x[:, :, ::2, ::2].pad((0, 0, 0, 0, new // 2, new - new // 2))
            x = (x + y).relu()
        return self.last(x.mean((2, 3)))


class MiniOnn:
    """MiniONN's CNN: seven convolutions with ReLUs, two average poolings."""

    SHAPES = [(3, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 1), (64, 16, 1)]

    def __init__(self, nn):
        self.convolutions = [conv(nn, *shape) for shape in self.SHAPES]
        self.last = nn.Linear(16 * 8 * 8, 10)

    def modules(self):
        return [*self.convolutions, self.last]

    def __call__(self, x):
        for place, convolution in enumerate(self.convolutions):
            x = convolution(x).relu()
            if place in (1, 3):
                x = x.avg_pool2d(2)
        return self.last(x.flatten(1))


class Layer:
    """A function of the input, with or without parameters."""

    def __init__(self, function, *modules):
        self.function, self.of = function, list(modules)

    def modules(self):
        return self.of

    def __call__(self, x):
        return self.function(x)


def subject(name, batch, nn):
    """The network or layer, and the shape of its input."""
    kind, _, sizes = name.partition(":")
    if kind == "resnet32":
        return ResNet32(nn), (batch, 3, 32, 32)
    if kind == "minionn":
        return MiniOnn(nn), (batch, 3, 32, 32)
    sizes = [int(size) for size in sizes.split("x")]
    if kind == "relu":
        return Layer(lambda x: x.relu()), (batch, *sizes)
    if kind == "maxpool":
        return Layer(lambda x: x.max_pool2d(2)), (batch, sizes[0] // 100, 10, 10)
    if kind == "convolution":
        module = conv(nn, sizes[0], sizes[0], 3)
        return Layer(module, module), (batch, *sizes)
    raise SystemExit(f"unknown subject {name}")


@contextlib.contextmanager
def plain_functions():
    """Lets CrypTen's layers run on plain tensors, for the result in the clear."""
    names = ["conv2d", "avg_pool2d", "max_pool2d", "pad"]

    def method(function):
        return lambda x, *arguments, **named: function(x, *arguments, **named)

    for name in names:
        setattr(torch.Tensor, name, method(getattr(torch.nn.functional, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(torch.Tensor, name)


def bytes_sent():
    """What this process has sent over all its TCP connections, by the kernel's count."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as end:
                    if end.type == socket.SOCK_STREAM and end.family in (socket.AF_INET, socket.AF_INET6):
                        # tcpi_bytes_sent of struct tcp_info, less what was sent twice.
                        info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
                        total += struct.unpack_from("Q", info, 200)[0] - struct.unpack_from("Q", info, 208)[0]
    return total


def environment(rank, parties, rendezvous):
    os.environ.update(
        DISTRIBUTED_BACKEND="gloo", RENDEZVOUS=f"file://{rendezvous}", WORLD_SIZE=str(parties), RANK=str(rank)
    )
    torch.set_num_threads(1)


def third_party(parties, rendezvous):
    environment(parties, parties, rendezvous)
    import crypten
    from crypten.config import cfg

    cfg.mpc.provider = "TTP"
    crypten.mpc.provider.TTPServer()


class Party:
    """A party, from the start of its process."""

    def __init__(self, name, batch, is_given):
        import crypten
        import crypten.nn as nn
        from crypten.config import cfg

        self.crypten, self.config, self.is_given = crypten, cfg, is_given
        cfg.mpc.provider = "TFP" if is_given else "TTP"
        crypten.init()
        self.provider = crypten.mpc.get_default_provider()
        torch.manual_seed(1)
        self.model, shape = subject(name, batch, nn)
        self.input = torch.rand(shape) * 2 - 1
        with torch.no_grad(), plain_functions():
            self.expected = self.model(self.input)
        for module in self.model.modules():
            module.encrypt(src=MODEL_OWNER)
        self.requests = []

    def prepare(self):
        """Makes the correlations that the pass takes."""
        if self.is_given:
            self.provider.request_cache = self.requests
            self.provider.fill_cache()
        self.crypten.communicator.get().barrier()

    def one(self):
        """From the input to the result: the times of both, and of the layers alone."""
        sent = bytes_sent()
        self.crypten.communicator.get().barrier()
        with self.crypten.no_grad():
            started = time.perf_counter()
            x = self.crypten.cryptensor(self.input, src=DATA_OWNER)
            shared = time.perf_counter()
            y = self.model(x)
            computed = time.perf_counter()
            result = y.get_plain_text()
            ended = time.perf_counter()
        left = sum(len(tuples) for tuples in self.provider.tuple_cache.values())
        assert left == 0, f"{left} correlations were not used"
        error = (result - self.expected).abs().max().item()
        if error > TOLERANCE:
            print(f"CrypTen's result is off by {error}", file=sys.stderr)
        return {
            "seconds": ended - started,
            "inner_seconds": computed - shared,
            "bytes": bytes_sent() - sent,
            "max_error": error,
        }

    def warm_up(self):
        """Notes which correlations are taken, and counts rounds."""
        if self.is_given:
            self.provider.trace(True)
            self.one()
            self.provider.trace(False)
            self.requests = self.provider.request_cache
        self.prepare()
        self.config.communicator.verbose = True
        self.crypten.reset_communication_stats()
        self.one()
        self.config.communicator.verbose = False
        # Less the barrier.
        return self.crypten.communicator.get().comm_rounds - 1


def party(rank, name, batch, parties, is_given, rendezvous, pipe):
    environment(rank, parties, rendezvous)
    own = Party(name, batch, is_given)
    pipe.send({"rounds": own.warm_up()})
    while pipe.recv() == "run":
        own.prepare()
        pipe.send(own.one())
    # The third party ends when its peer does.
    os._exit(0)


def received(pipe, process):
    """The next message of a party."""
    end = time.monotonic() + LIMIT
    while not pipe.poll(0.2):
        if not process.is_alive() or time.monotonic() > end:
            raise SystemExit("a party ended, or took too long")
    return pipe.recv()


def main():
    name, parties, provider, batch = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    context = multiprocessing.get_context("spawn")
    folder = tempfile.mkdtemp(prefix="crypten-bench-")
    rendezvous = os.path.join(folder, "rendezvous")
    pipes, processes = [], []
    for rank in range(parties):
        here, there = context.Pipe()
        arguments = (rank, name, batch, parties, provider == "given", rendezvous, there)
        processes.append(context.Process(target=party, args=arguments, daemon=True))
        pipes.append(here)
    if provider == "ttp":
        processes.append(context.Process(target=third_party, args=(parties, rendezvous), daemon=True))
    for process in processes:
        process.start()
    try:
        ready = [received(*ends) for ends in zip(pipes, processes)]
        versions = {"torch": torch.__version__, "crypten": __import__("crypten").__version__}
        print(json.dumps({"rounds": max(one["rounds"] for one in ready), **versions}), flush=True)
        for _ in sys.stdin:
            for pipe in pipes:
                pipe.send("run")
            runs = [received(*ends) for ends in zip(pipes, processes)]
            print(json.dumps({key: max(run[key] for run in runs) for key in runs[0]}), flush=True)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        with contextlib.suppress(OSError):
            os.remove(rendezvous)
        with contextlib.suppress(OSError):
            os.rmdir(folder)


if __name__ == "__main__":
    main()
