"""The certificate changes under a running server: new handshakes see the new one, running transfers go on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from entrepot.cli.authority import Authority
from tests.faults.processes import workers_of
from tests.protocol.client import basic, digest_of, eventually, head_of
from tests.serving import PASSWORD, Server, free_port

REPOSITORY = "tls/app"


class Files:
    """The files of a server's section ``[tls]``, as whoever renews them writes them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = Authority.open(folder)
        self.cert, self.key, self.ca = folder / "tls.crt", folder / "tls.key", folder / "ca.crt"
        self.install(self.made())

    def made(self) -> tuple[bytes, bytes]:
        """A new certificate and its key."""
        self.authority.issue_server(["localhost", "127.0.0.1"], timedelta(days=2))
        return (self.folder / "server.crt").read_bytes(), (self.folder / "server.key").read_bytes()

    def install(self, pair: tuple[bytes, bytes]) -> bytes:
        """Write it where the server looks; the certificate in DER."""
        self.key.write_bytes(pair[1])
        self.cert.write_bytes(pair[0])
        return ssl.PEM_cert_to_DER_cert(pair[0].decode())

    def renew(self) -> bytes:
        """Write another one; it in DER."""
        return self.install(self.made())

    @property
    def environment(self) -> dict[str, str]:
        return {"ENTREPOT_TLS_CERT_FILE": str(self.cert), "ENTREPOT_TLS_KEY_FILE": str(self.key)}

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "certificates")


@contextmanager
def secure(files: Files, tmp_path: Path, *, workers: int = 2, **environment: str) -> Iterator[Server]:
    server = Server(
        tmp_path / "data", workers=workers, scheme="https", environment={**files.environment, **environment}
    )
    server.start()
    try:
        yield server
        server.check_alive()
        if server.process.poll() is None:
            server.stop()
    finally:
        server.kill()


def look(server: Server) -> None:
    """Tell it to look at its files now."""
    server.process.send_signal(signal.SIGHUP)


def wrapped(server: Server, port: int | None = None) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = socket.create_connection(("127.0.0.1", port or server.port), timeout=20)
    return context.wrap_socket(sock)


def shown(server: Server, port: int | None = None) -> bytes:
    """The certificate that a new handshake sees, in DER."""
    with wrapped(server, port) as sock:
        seen = sock.getpeercert(binary_form=True)
    assert seen
    return seen


def shows_only(server: Server, certificate: bytes) -> bool:
    return all(shown(server) == certificate for _ in range(10))


@contextmanager
def admin_of(server: Server, files: Files) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.url, verify=files.trusting(), auth=("admin", PASSWORD), timeout=30, trust_env=False
    ) as http:
        yield http


def push(http: httpx.Client, content: bytes) -> str:
    location = http.post(f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    assert http.put(f"{location}?digest={digest_of(content)}", content=content).status_code == 201
    return digest_of(content)


class SlowPush:
    """An upload that goes on until it is told to end."""

    def __init__(self, server: Server, files: Files) -> None:
        self.patched = 0
        """The status of the part that was under way."""
        self.status = 0
        self._end = threading.Event()
        self._begun = threading.Event()
        self._content = bytearray()
        self._server, self._files = server, files
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(20)
        time.sleep(0.3)

    def _pieces(self) -> Iterator[bytes]:
        while True:
            piece = os.urandom(100_000)
            self._content += piece
            yield piece
            self._begun.set()
            if self._end.wait(0.1):
                return

    def _run(self) -> None:
        with suppress(httpx.HTTPError), admin_of(self._server, self._files) as http:
            location = http.post(f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
            patched = http.patch(location, content=self._pieces())
            self.patched = patched.status_code
            digest = digest_of(bytes(self._content))
            if patched.status_code == 202:
                self.status = http.put(f"{patched.headers['Location']}?digest={digest}").status_code

    def finish(self) -> int:
        self._end.set()
        self._thread.join(30)
        return self.status


def test_transfers_go_on_while_new_handshakes_see_the_new_certificate(files: Files, tmp_path: Path) -> None:
    content = os.urandom(60_000_000)
    with secure(files, tmp_path) as server:
        former = workers_of(server)
        with admin_of(server, files) as http:
            digest = push(http, content)
        upload = SlowPush(server, files)
        with wrapped(server) as download:
            download.sendall(head_of("GET", f"/v2/{REPOSITORY}/blobs/{digest}", basic(server)))
            got = bytearray(download.recv(65_536))
            new = files.renew()
            look(server)
            assert eventually(lambda: shows_only(server, new), 20)
            assert len(workers_of(server)) > 2, "those with transfers are there still"
            time.sleep(3)  # the former workers have stopped by now, but for their transfers
            while piece := download.recv(1_000_000):
                got += piece
                if len(got) > len(content) and got.endswith(content[-1000:]):
                    break
        assert got.partition(b"\r\n\r\n")[2] == content
        assert upload.finish() == 201
        assert eventually(lambda: len(workers_of(server)) == 2, 20)
        assert not set(former) & set(workers_of(server))
        with admin_of(server, files) as http:
            assert http.get(f"/v2/{REPOSITORY}/blobs/{digest}").content == content
    assert "worker died" not in server.log_text()
    assert server.log_text().count("new workers take over") == 1


def test_no_connection_is_lost_in_a_change(files: Files, tmp_path: Path) -> None:
    failures: list[Exception] = []
    answers = [0]
    over = threading.Event()

    def hammer(server: Server) -> None:
        while not over.is_set():
            try:
                with wrapped(server) as sock:
                    sock.sendall(head_of("GET", "/livez", "Connection: close"))
                    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
                    answers[0] += 1
            except (OSError, AssertionError) as error:
                failures.append(error)

    with secure(files, tmp_path) as server:
        threads = [threading.Thread(target=hammer, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                new = files.renew()
                look(server)
                assert eventually(lambda new=new: shows_only(server, new), 20)  # type: ignore[misc]
                assert eventually(lambda: len(workers_of(server)) == 2, 20)
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
    assert not failures, failures[:3]
    assert answers[0] > 100


def test_clients_that_stay_connected_come_again_to_the_new_certificate(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path, workers=1) as server, wrapped(server) as busy, wrapped(server) as idle:
        for sock in (busy, idle):
            sock.sendall(head_of("GET", "/livez"))
            assert b"connection: close" not in sock.recv(4000).lower()
        new = files.renew()
        look(server)
        assert eventually(lambda: shown(server) == new, 20)

        def is_asked_to_come_again() -> bool:
            busy.sendall(head_of("GET", "/livez"))
            return b"connection: close" in busy.recv(4000).lower()

        assert eventually(is_asked_to_come_again)
        idle.settimeout(10)
        assert idle.recv(1) == b"", "closed by the server"


def test_files_that_do_not_fit_together_are_left_alone_until_they_do(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path, workers=1) as server:
        used = shown(server)
        pair = files.made()
        for write in (
            lambda: files.cert.write_bytes(pair[0]),  # cert-manager: one file after the other
            lambda: files.cert.write_bytes(b""),
            lambda: files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            files.cert.unlink,
        ):
            write()
            before = server.log_text().count("cannot be used")
            for _ in range(3):
                look(server)
                time.sleep(0.2)
            assert server.log_text().count("cannot be used") == before + 1, "told of once"
            assert shown(server) == used
        killed = workers_of(server)
        os.kill(killed[0], signal.SIGKILL)
        assert eventually(lambda: killed != workers_of(server) != [] and server._ready(), 10)
        assert shown(server) == used, "a worker that starts now gets what is in use"
        new = files.install(pair)
        look(server)
        assert eventually(lambda: shows_only(server, new), 20)
        assert server.log_text().count("new workers take over") == 1


def test_files_that_come_back_to_what_is_used_change_nothing(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path, workers=1) as server:
        before, content = workers_of(server), files.cert.read_bytes()
        files.cert.write_bytes(b"broken")
        look(server)
        assert eventually(lambda: "cannot be used" in server.log_text(), 10)
        files.cert.write_bytes(content)
        look(server)
        time.sleep(1)
        assert workers_of(server) == before


def test_several_changes_in_a_row_end_with_the_last(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path) as server:
        new = b""
        for _ in range(6):
            new = files.renew()
            look(server)
            time.sleep(0.15)
        assert eventually(lambda: shows_only(server, new), 20)
        assert eventually(lambda: len(workers_of(server)) == 2, 20)
        assert shows_only(server, new)


def test_a_certificate_that_the_new_workers_cannot_use_leaves_the_former_ones(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path) as server:
        used, former = shown(server), workers_of(server)
        # OpenSSL takes such a block for a certificate, the HTTP server does not
        cert, key = files.made()
        files.key.write_bytes(key)
        files.cert.write_bytes(cert.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"))
        look(server)
        assert eventually(lambda: "worker died" in server.log_text(), 20)
        time.sleep(1)
        assert shows_only(server, used)
        assert set(former) <= set(workers_of(server))
        new = files.renew()
        look(server)
        assert eventually(lambda: shows_only(server, new), 20)
        assert eventually(lambda: len(workers_of(server)) == 2, 30)


@pytest.mark.parametrize("curve", [ec.SECP256K1, ec.SECP521R1], ids=lambda curve: curve.name)
def test_a_key_of_a_kind_that_is_not_served_is_named_at_the_start(
    curve: type[ec.EllipticCurve], files: Files, tmp_path: Path
) -> None:
    key = ec.generate_private_key(curve())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    good = x509.load_pem_x509_certificate(files.cert.read_bytes())
    odd = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
        .sign(key, SHA256())
    )
    files.cert.write_bytes(odd.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = Server(tmp_path / "data", environment=files.environment)
    with pytest.raises(AssertionError, match="exit code 1"):
        server.start()
    assert "use RSA" in server.log_text()
    assert "Traceback" not in server.log_text()


def test_a_swapped_folder_is_noticed_without_a_signal(files: Files, tmp_path: Path) -> None:
    mount = tmp_path / "secret"  # as Kubernetes mounts one: files are links into a folder that is a link
    mount.mkdir()

    def publish(name: str) -> bytes:
        der = files.renew()
        folder = mount / name
        folder.mkdir()
        shutil.copy(files.cert, folder / "tls.crt")
        shutil.copy(files.key, folder / "tls.key")
        (mount / "..new").symlink_to(name)
        (mount / "..new").rename(mount / "..data")
        return der

    publish("..first")
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    environment = {"ENTREPOT_TLS_CERT_FILE": str(mount / "tls.crt"), "ENTREPOT_TLS_KEY_FILE": str(mount / "tls.key")}
    port = free_port()
    with secure(files, tmp_path, workers=1, ENTREPOT_METRICS_LISTEN=f"127.0.0.1:{port}", **environment) as server:
        new = publish("..second")
        began = time.monotonic()
        assert eventually(lambda: shown(server) == new, 60)
        assert time.monotonic() - began < 30
        assert eventually(lambda: shown(server, port) == new), "on the listener for metrics too"


def test_sigterm_in_the_middle_of_a_change_ends_everything_in_order(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path) as server:
        upload = SlowPush(server, files)
        new = files.renew()
        look(server)
        assert eventually(lambda: shows_only(server, new), 20)
        time.sleep(2.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        upload.finish()
        assert upload.patched == 202
        assert server.process.wait(20) == 0
        assert "transfers cut off" not in server.log_text()
        server._asked_to_end = True


def test_retired_workers_do_not_outlive_their_supervisor(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path) as server:
        upload = SlowPush(server, files)
        new = files.renew()
        look(server)
        assert eventually(lambda: shows_only(server, new), 20)
        pids = workers_of(server)
        assert len(pids) > 2
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        time.sleep(0.5)
        upload.finish()
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
        server._asked_to_end = True


def test_a_signal_to_look_again_ends_nothing_without_tls(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start()
    try:
        before = workers_of(server)
        look(server)
        time.sleep(0.5)
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert workers_of(server) == before
        server.stop()
    finally:
        server.kill()


def test_what_is_kept_in_memory_is_not_lost_to_a_change(files: Files, tmp_path: Path) -> None:
    with secure(files, tmp_path, workers=1, ENTREPOT_STORAGE_DRIVER="memory") as server:
        before = workers_of(server)
        files.renew()
        look(server)
        assert eventually(lambda: "restart" in server.log_text(), 10)
        assert workers_of(server) == before


def test_a_certificate_that_is_broken_at_the_start_is_named(files: Files, tmp_path: Path) -> None:
    files.ca.write_text("nothing")
    server = Server(tmp_path / "data", environment={**files.environment, "ENTREPOT_TLS_CLIENT_CA_FILE": str(files.ca)})
    with pytest.raises(AssertionError, match="exit code 1"):
        server.start()
    assert "tls.client_ca_file" in server.log_text()
    assert "Traceback" not in server.log_text()
