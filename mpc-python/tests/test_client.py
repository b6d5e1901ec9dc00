"""A client against a server and a dealer, each a process of its own."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

import mpc


def start(program, *words):
    """Start a service, and return it with its address."""
    service = subprocess.Popen(
        [program, *words, "--listen", "127.0.0.1:0", "--stop-with-input", "--log", "warn"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return service, service.stdout.readline().removeprefix("listening on ").strip()


@pytest.fixture(scope="module")
def site(program, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name in ("acme", "clinic", "dealer", "stranger"):
        subprocess.run([program, "keygen", "--name", name], cwd=folder, check=True, capture_output=True)
    public, private = mpc.load(digits.path).pack()
    public.save(folder / "net.public")
    private.save(folder / "net.private")

    def file(name):
        return str(folder / name)

    dealing, dealer = start(
        program, "dealer", "--key", file("dealer.key"), "--allow", f"{file('acme.crt')},{file('clinic.crt')}"
    )
    serving, server = start(
        program, "serve", file("net.private"), "--key", file("acme.key"), "--allow", file("clinic.crt"),
        "--dealer", f"{dealer}={file('dealer.crt')}", "--store", file("acme.store"),
    )  # fmt: skip
    yield SimpleNamespace(
        file=file, public=public, connect=f"{server}={file('acme.crt')}", dealer=f"{dealer}={file('dealer.crt')}"
    )
    for service in (serving, dealing):
        service.stdin.close()
        service.wait()
        service.stdout.close()


def test_a_query_gives_the_result_and_its_cost(site, digits, net):
    key = site.file("clinic.key")
    with mpc.Client(site.file("net.public"), key=key, connect=site.connect, dealer=site.dealer) as client:
        outputs = client.query(digits.x[0])
        clear = net.run(digits.x[:1], mode="clear")
        np.testing.assert_allclose(outputs["probabilities"], clear["probabilities"], atol=2.0**-12)
        assert client.report.rounds == net.cost().rounds
        assert client.report.bytes_sent == client.report.data["planned"]["phases"]["online"]["bytes_sent"][-1]
        # Two samples are two inferences of one session.
        outputs = client.query(digits.x[:2])
        np.testing.assert_array_equal(outputs["label"], digits.classifier.predict(digits.x[:2]))
        assert len(client.report.data["inferences"]) == 2
        with pytest.raises(mpc.RangeError, match="not below 16384"):
            client.query(digits.x[0] + 20_000)
        with pytest.raises(mpc.InputError, match="shape"):
            client.query(digits.x[:1, :5])
    with pytest.raises(ValueError, match="closed"):
        client.query(digits.x[0])


def test_prepared_inferences_are_used_once_and_an_audit_takes_some(site, digits, net, tmp_path):
    key, store = site.file("clinic.key"), tmp_path / "prepared"
    with mpc.Client(site.public, key=key, connect=site.connect, dealer=site.dealer) as client:
        assert len(client.prepare(3, store, audit=1)) == 32
    # No dealer is needed any more.
    with mpc.Client(site.public, key=key, connect=site.connect) as client:
        for x in (digits.x[:1], digits.x[1:2]):
            outputs = client.query(x, store=store)
            clear = net.run(x, mode="clear")
            np.testing.assert_allclose(outputs["probabilities"], clear["probabilities"], atol=2.0**-12)
        with pytest.raises(mpc.InputError, match="prepared"):
            client.query(digits.x[0], store=store)
        with pytest.raises(mpc.InputError, match="dealer"):
            client.prepare(1, store)
        for count, audit in ((0, 0), (100_001, 0), (3, 3), (3, -1)):
            with pytest.raises(mpc.InputError, match="count=" if audit == 0 else "audit="):
                client.prepare(count, store, audit=audit)
    with pytest.raises(ValueError, match="closed"):
        client.prepare(1, store)


def test_each_fault_has_its_class(site, digits):
    public, key = site.public, site.file("clinic.key")
    gone = f"127.0.0.1:9={site.file('acme.crt')}"
    impostor = f"{site.connect.split('=')[0]}={site.file('stranger.crt')}"
    for keywords, kind in [
        ({"key": site.file("stranger.key"), "connect": site.connect, "dealer": site.dealer}, mpc.ServiceError),
        ({"key": key, "connect": gone, "dealer": site.dealer}, mpc.PeerLostError),
        ({"key": key, "connect": impostor, "dealer": site.dealer}, mpc.ServiceError),
        ({"key": key, "connect": site.connect}, mpc.InputError),
        ({"key": key, "connect": site.connect, "dealer": site.dealer, "reveal_to": "both"}, mpc.InputError),
    ]:
        with pytest.raises(kind):
            mpc.Client(public, deadline=5, **keywords).query(digits.x[0])
    for keywords in ({"key": "missing.key", "connect": site.connect}, {"key": key, "connect": "nowhere"}):
        with pytest.raises(mpc.InputError):
            mpc.Client(public, **keywords)
