"""``entrepot cert dev``: what it makes holds for Python, openssl and curl."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from entrepot.cli.certificates import app


def run(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["dev", "--folder", str(folder), *options])
    assert done.exit_code == 0, done.output
    return done.output


def refusal(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["dev", "--folder", str(folder), *options])
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    return done.output


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_server_with_it_is_trusted_by_those_who_trust_the_authority(tmp_path: Path) -> None:
    told = run(tmp_path, "--host", "registry.example.com", "--host", "192.0.2.7", "--days", "10")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1", "::1", "registry.example.com", "192.0.2.7"):
        left, right = socket.socketpair()
        thread = threading.Thread(target=lambda sock=left: server.wrap_socket(sock, server_side=True).close())
        thread.start()
        with client.wrap_socket(right, server_hostname=name) as wrapped:
            assert wrapped.version() == "TLSv1.3"
        thread.join()
        assert name in told


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run(tmp_path)
        run(tmp_path, "--client", "ci")
    finally:
        os.umask(before)
    for name in ("ca.key", "server.key", "client-ci.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("ca", "server", "client-ci") for kind in ("crt", "key")
    )


def test_the_authority_that_is_there_is_used_again(tmp_path: Path) -> None:
    run(tmp_path)
    authority, server = (tmp_path / "ca.crt").read_bytes(), (tmp_path / "server.crt").read_bytes()
    run(tmp_path)
    assert (tmp_path / "ca.crt").read_bytes() == authority
    assert (tmp_path / "server.crt").read_bytes() != server
    server = (tmp_path / "server.crt").read_bytes()
    run(tmp_path, "--client", "robot$ci")
    assert (tmp_path / "server.crt").read_bytes() == server
    made = certificate(tmp_path / "client-robot$ci.crt")
    made.verify_directly_issued_by(certificate(tmp_path / "ca.crt"))
    assert made.subject.rfc4514_string() == "CN=robot$ci"


def test_what_is_told_are_the_lines_of_a_file_and_commands(tmp_path: Path) -> None:
    told = run(tmp_path)
    for part in (f'cert_file = "{tmp_path}/server.crt"', "--cacert", "containers/certs.d", "docker/certs.d"):
        assert part in told
    assert f'client_ca_file = "{tmp_path}/ca.crt"' in run(tmp_path, "--client", "jo")


@pytest.mark.parametrize("lost", ["ca.key", "ca.crt"])
def test_half_an_authority_is_left_alone(tmp_path: Path, lost: str) -> None:
    run(tmp_path)
    (tmp_path / lost).unlink()
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    assert "ca.crt" in refusal(tmp_path)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


def test_files_of_two_authorities_are_not_mixed(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b")
    shutil.copy(tmp_path / "a" / "ca.key", tmp_path / "b" / "ca.key")
    assert "another key" in refusal(tmp_path / "b")


@pytest.mark.parametrize("options", [("--host", "a b"), ("--host", "a:443"), ("--host", ""), ("--host", "-a")])
def test_a_host_that_is_none_is_refused(tmp_path: Path, options: tuple[str, str]) -> None:
    assert "--host" in refusal(tmp_path, *options)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "a b"])
def test_a_client_whose_name_is_no_files_is_refused(tmp_path: Path, name: str) -> None:
    assert "--client" in refusal(tmp_path / "made", f"--client={name}")
    assert not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(tmp_path / "file" / "folder")


def test_a_name_of_other_letters_is_written_as_names_are(tmp_path: Path) -> None:
    run(tmp_path, "--host", "bücher.example")
    names = certificate(tmp_path / "server.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "xn--bcher-kva.example" in names.value.get_values_for_type(x509.DNSName)


def test_openssl_and_curl_agree(tmp_path: Path) -> None:
    for program in ("openssl", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"the {program} program is not installed")
    run(tmp_path)
    run(tmp_path, "--client", "jo")
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.crt")]
    for purpose, name in (("sslserver", "server"), ("sslclient", "client-jo")):
        command = [*verify, "-purpose", purpose, str(tmp_path / f"{name}.crt")]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with context.wrap_socket(sock, server_side=True) as wrapped:
                wrapped.recv(4096)
                wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=answer)
        thread.start()
        command = ["curl", "-sS", "--cacert", str(tmp_path / "ca.crt"), "--cert", str(tmp_path / "client-jo.crt")]
        command += ["--key", str(tmp_path / "client-jo.key"), f"https://localhost:{listener.getsockname()[1]}/"]
        done = subprocess.run([*command, "-4"], capture_output=True, text=True, timeout=30, check=False)
        thread.join()
    assert (done.stdout, done.stderr) == ("ok", "")
