"""The three servers: Entrepôt and docker-registry, and nginx as the reference for a blob's GET."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import os
import pwd
import secrets
import socket
import ssl
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import msgspec

from bench import wrk
from bench.access import Login
from bench.directory import Directory
from bench.process import Program, wait_a_moment
from bench.rawclient import Address, Connection, WrongAnswerError, make_request

START_LIMIT = 30.0
"""Seconds a server gets until it answers."""

REGISTRY_PROGRAM = "/usr/bin/docker-registry"
NGINX_PROGRAM = "/usr/sbin/nginx"
OPENSSL_PROGRAM = "/usr/bin/openssl"


class MissingProgramError(Exception):
    """Something that the bench runs is not installed; the message names the package."""


class NotStartedError(Exception):
    """A server ended, or never answered, at its start; the message holds its last lines."""


def check_programs() -> None:
    """Raise MissingProgramError, in one line, unless everything the bench runs is there."""
    packages = {
        REGISTRY_PROGRAM: "docker-registry",
        wrk.PROGRAM: "wrk",
        NGINX_PROGRAM: "nginx-light",
        OPENSSL_PROGRAM: "openssl",
    }
    missing = [package for program, package in packages.items() if not Path(program).exists()]
    if missing:
        raise MissingProgramError(f"not installed: apt install {' '.join(missing)}")
    if importlib.util.find_spec("entrepot") is None:
        raise MissingProgramError(f"{sys.executable} has no entrepot: install it (make run does)")


class Certificate(msgspec.Struct, frozen=True):
    """A self-signed certificate for 127.0.0.1: PEM files, and a client's context trusting it."""

    cert_file: Path
    key_file: Path
    trust: ssl.SSLContext


def make_certificate(folder: Path) -> Certificate:
    """Have openssl write a certificate (ECDSA P-256, one day) into `folder`."""
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(cert_file), "-keyout", str(key_file)]
    subprocess.run([OPENSSL_PROGRAM, *request.split(), *subject, *files], check=True, capture_output=True)
    return Certificate(cert_file, key_file, ssl.create_default_context(cafile=str(cert_file)))


def find_free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """A server in a folder of its own; as a context manager it runs inside the block."""

    name = ""

    def __init__(self, folder: Path, certificate: Certificate | None = None) -> None:
        """`folder` is made when absent and holds data, configuration and log."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.certificate = certificate
        self.address = Address(find_free_port(), certificate.trust if certificate else None)
        self._program: Program | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Write what configuration it needs and return the command that starts it."""

    def environment(self) -> dict[str, str]:
        """Return its environment: that of the bench, less what would configure a registry."""
        foreign = ("ENTREPOT_", "REGISTRY_")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}

    def ready(self) -> tuple[str, tuple[int, ...]]:
        """Return the target that is asked to see whether it runs, and the right statuses."""
        return "/", ()

    def host(self) -> bytes:
        """Return the Host header line."""
        return b"Host: %b\r\n" % self.address.authority.encode()

    def fields(self, repository: str) -> bytes:
        """Return the header lines of a request in `repository`: Host, and the right to it."""
        del repository
        return self.host()

    @property
    def pid(self) -> int:
        """The id of the running server's first process."""
        if self._program is None:
            raise NotStartedError(f"{self.name} does not run")
        return self._program.pid

    def __enter__(self) -> Self:
        self.start(*self.ready())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, target: str, expect: tuple[int, ...]) -> float:
        """Start it and wait until `target` answers one of `expect`; return the seconds it took.

        Raises NotStartedError when it ends, or does not answer so within START_LIMIT seconds.
        """
        command, log = self.command(), self.folder / "log"
        started = time.monotonic()
        self._program = Program(command, log, self.environment())
        try:
            while not self._answers(target, expect):
                self._check_start(time.monotonic() - started)
                wait_a_moment()
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - started

    def stop(self) -> None:
        """Stop it, if it runs."""
        program, self._program = self._program, None
        if program is not None:
            program.stop()

    def drop_content(self, size: int) -> None:
        """Unlink content of exactly `size` bytes, so that rounds of pushes do not fill the disk.

        The server goes on believing that it has it; nobody will ask.
        """
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_size == size:
                        path.unlink()

    def _check_start(self, seconds: float) -> None:
        program = self._program
        if program is None or not program.runs or seconds > START_LIMIT:
            said = program.tail() if program else ""
            raise NotStartedError(f"{self.name} did not start; it said:\n{said}")

    def _answers(self, target: str, expect: tuple[int, ...]) -> bool:
        host = b"Host: %b\r\n" % self.address.authority.encode()
        try:
            with Connection(self.address) as connection:
                connection.ask(make_request("GET", target, host, expect=expect))
        except (OSError, WrongAnswerError):
            return False
        return True


class Entrepot(Server):
    """Entrepôt as a user starts it: one web worker, authentication on."""

    name = "Entrepôt"

    def __init__(
        self, folder: Path, certificate: Certificate | None = None, directory: Directory | None = None
    ) -> None:
        super().__init__(folder, certificate)
        self._directory = directory
        self._password = secrets.token_urlsafe(16)
        self._login = Login("admin", self._password)

    def command(self) -> list[str]:
        """`entrepot serve`, with a configuration file only for TLS."""
        command = [sys.executable, "-m", "entrepot", "serve"]
        command += ["--listen", self.address.authority, "--data", str(self.data)]
        command += ["--workers", "1"]
        if self.certificate:
            config = self.folder / "entrepot.toml"
            config.write_text(
                f'[tls]\ncert_file = "{self.certificate.cert_file}"\nkey_file = "{self.certificate.key_file}"\n'
            )
            command += ["--config", str(config)]
        return command

    def environment(self) -> dict[str, str]:
        """Give it the password of `admin`."""
        password = {"ENTREPOT_ADMIN_PASSWORD": self._password}
        people = {"ENTREPOT_IDENTITY_LDAP": self._directory.variable} if self._directory else {}
        return super().environment() | password | people

    def ready(self) -> tuple[str, tuple[int, ...]]:
        """It says so itself."""
        return "/readyz", (200,)

    def administrator(self) -> bytes:
        """Return the Authorization header line of `admin`, by password."""
        return b"Authorization: Basic %b\r\n" % base64.b64encode(f"admin:{self._password}".encode())

    def fields(self, repository: str) -> bytes:
        """Add the token, renewed when it is not fresh."""
        return super().fields(repository) + self._login.field(self.address, repository)


class DockerRegistry(Server):
    """Debian's docker-registry: filesystem driver, no authentication, descriptors in memory.

    Its access log is off, to its advantage: Entrepôt writes its access records.
    """

    name = "docker-registry"

    def command(self) -> list[str]:
        """`docker-registry serve`, all of its configuration in a file."""
        tls = ""
        if self.certificate:
            tls = f"  tls:\n    certificate: {self.certificate.cert_file}\n    key: {self.certificate.key_file}\n"
        config = self.folder / "config.yml"
        config.write_text(f"""\
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {self.data}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: {self.address.authority}
  secret: {secrets.token_hex(16)}
{tls}""")
        return [REGISTRY_PROGRAM, "serve", str(config)]

    def ready(self) -> tuple[str, tuple[int, ...]]:
        """It has no endpoint for this but the base of the protocol."""
        return "/v2/", (200,)


class Nginx(Server):
    """nginx serving the files of its data folder with sendfile, one worker, no access log."""

    name = "nginx"

    def command(self) -> list[str]:
        """`nginx` in the foreground; as root its worker stays root, to read the folder."""
        self.data.mkdir(exist_ok=True)
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"  {kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        config = self.folder / "nginx.conf"
        config.write_text(f"""\
{user}
daemon off;
worker_processes 1;
pid {self.folder}/pid;
error_log {self.folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
{temporary}
  server {{
    listen {self.address.authority};
    root {self.data};
  }}
}}
""")
        return [NGINX_PROGRAM, "-e", str(self.folder / "log"), "-c", str(config)]
