"""``entrepot cert``: certificates for trials, from an authority of one's own."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from entrepot.cli.authority import Authority
from entrepot.cli.run import attempt
from entrepot.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Make certificates for trials.")

_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._$+-]{0,63}")


@app.callback()
def _group() -> None:
    return  # keeps "dev" a command of its own, though it is the only one


@app.command("dev")
def dev(
    folder: Annotated[Path, typer.Option(help="Where the files are written.")] = Path("certificates"),
    host: Annotated[list[str] | None, typer.Option(help="A further name or address of the server; repeatable.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate holds.")] = 365,
    client: Annotated[str | None, typer.Option(help="Make a client's certificate instead, for this name.")] = None,
) -> None:
    """Make an authority and a certificate for a server on this machine."""
    attempt(lambda: _dev(folder, host or [], timedelta(days=days), client))


def _dev(folder: Path, hosts: Sequence[str], life: timedelta, client: str | None) -> None:
    if client is not None and not _CLIENT.fullmatch(client):
        raise ConfigError(f"--client {client!r}: use letters, digits, dots, dashes and underscores, at most 64.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority.open(folder)
        # A server may be using the certificate: it goes on answering to all names that it had.
        names = _names([*authority.server_names(), *hosts])
        if client:
            authority.issue_client(client, life)
            _tell_client(folder.resolve(), client)
        else:
            authority.issue_server(names, life)
            _tell_server(folder.resolve(), names)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error


def _names(hosts: Sequence[str]) -> list[str]:
    names = ["localhost", "127.0.0.1", "::1"]
    own = socket.gethostname()
    with contextlib.suppress(ConfigError):  # some machines have names that no certificate can hold
        names.append(_name(own))
    names += [_name(host) for host in hosts]
    return list(dict.fromkeys(names))


def _name(host: str) -> str:
    """A name as a certificate has it.

    Raises:
        ConfigError: it is none.
    """
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode() if not host.isascii() else host.lower()
    except UnicodeError:
        name = ""
    label = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
    if len(name) > 253 or not re.fullmatch(rf"(\*\.)?{label}(\.{label})*", name):  # noqa: PLR2004 - RFC 1035, 2.3.4
        raise ConfigError(f"--host {host!r}: write a host name or an address, without a port.")
    return name


def _tell_server(folder: Path, names: Sequence[str]) -> None:
    authority = shlex.quote(f"{folder}/ca.crt")
    print(f"""\
{folder}/server.crt is for {", ".join(names)};
{folder}/ca.crt is the authority that signed it.

The server, in its file:
  [tls]
  cert_file = "{folder}/server.crt"
  key_file = "{folder}/server.key"
  ca_file = "{folder}/ca.crt"

Clients trust the authority, for a server on localhost:5000:
  curl    curl --cacert {authority} https://localhost:5000/v2/
  podman  mkdir -p /etc/containers/certs.d/localhost:5000
          cp {authority} /etc/containers/certs.d/localhost:5000/
          (or for one command: podman login --cert-dir FOLDER, a folder with ca.crt and no key beside it)
  docker  mkdir -p /etc/docker/certs.d/localhost:5000
          cp {authority} /etc/docker/certs.d/localhost:5000/

A client's certificate of the same authority:
  entrepot cert dev --folder {shlex.quote(str(folder))} --client NAME""")


def _tell_client(folder: Path, name: str) -> None:
    file = f"{folder}/client-{name}"
    authority, certificate, key = (shlex.quote(path) for path in (f"{folder}/ca.crt", f"{file}.crt", f"{file}.key"))
    print(f"""\
{file}.crt and {file}.key are a client's certificate for {name}.

The server asks for certificates of this authority with, in the section [tls] of its file:
  client_ca_file = "{folder}/ca.crt"

Clients show it, to a server on localhost:5000:
  curl    curl --cacert {authority} --cert {certificate} --key {key} https://localhost:5000/v2/
  podman  mkdir -p /etc/containers/certs.d/localhost:5000
          cp {authority} /etc/containers/certs.d/localhost:5000/
          cp {certificate} /etc/containers/certs.d/localhost:5000/client.cert
          cp {key} /etc/containers/certs.d/localhost:5000/client.key
  docker  the same three files in /etc/docker/certs.d/localhost:5000/""")
