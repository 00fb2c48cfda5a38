"""A real OpenLDAP server (slapd) of a test's own, with a private authority and some people and groups.

``Slapd.start`` needs Debian's packages slapd and ldap-utils; ``require_slapd`` skips a test by name where they are not.

People: alice (a developer and, by a nested group, an administrator), bob (in nothing), carol (a developer). Every
password is the name and ``-Secret-1``. Groups, below ``ou=groups``: developers (alice, carol), platform (holds
developers), admins (holds platform), ring-a and ring-b (hold each other; alice is in ring-a).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority

SUFFIX = "dc=example,dc=com"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
BIND_DN = f"cn=reader,{SUFFIX}"
BIND_PASSWORD = "reader-Secret-1"
ROOT_DN = f"cn=root,{SUFFIX}"
ROOT_PASSWORD = "root-Secret-1"

_SLAPD = shutil.which("slapd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'objectGUID' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.2 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.3 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.4 NAME 'accountExpires' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'adUser' AUXILIARY
  MAY ( objectGUID $ sAMAccountName $ userAccountControl $ accountExpires ) )
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb.la
moduleload memberof.la
moduleload refint.la
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit unlimited
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.exact="{reader}" read by * {anonymous}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/db
dbnosync
index objectClass,uid,cn,member,memberOf,memberUid,entryUUID eq
overlay memberof
memberof-group-oc groupOfNames
memberof-member-ad member
memberof-memberof-ad memberOf
memberof-refint TRUE
overlay refint
refint_attributes memberof member
"""


def password_of(name: str) -> str:
    return f"{name}-Secret-1"


def person(name: str, *more: str) -> str:
    """A person as LDIF."""
    classes = ["inetOrgPerson", "adUser"]
    lines = [f"dn: uid={name},{PEOPLE}", *(f"objectClass: {kind}" for kind in classes), f"uid: {name}"]
    lines += [f"cn: {name.capitalize()} Example", f"sn: {name}", f"mail: {name}@example.com"]
    return "\n".join([*lines, f"userPassword: {password_of(name)}", *more]) + "\n"


def group(name: str, members: Iterable[str], *more: str) -> str:
    """A group of DNs as LDIF."""
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {member}" for member in members), *more]) + "\n"


def user_dn(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def group_dn(name: str) -> str:
    return f"cn={name},{GROUPS}"


def everybody() -> str:
    """What a new server holds."""
    entries = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n",
        f"dn: {BIND_DN}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {BIND_PASSWORD}\n",
        *(person(name) for name in ("alice", "bob", "carol")),
        group("developers", [user_dn("alice"), user_dn("carol")]),
        group("platform", [group_dn("developers")]),
        group("admins", [group_dn("platform")]),
        group("ring-a", [user_dn("alice"), group_dn("developers")]),
        group("ring-b", [group_dn("ring-a")]),
    ]
    return "\n".join(entries)


_CLOSE_RING = f"dn: {group_dn('ring-a')}\nchangetype: modify\nadd: member\nmember: {group_dn('ring-b')}\n"


class Slapd:
    """A server; ``url`` is for StartTLS, ``ldaps_url`` has TLS from the first byte."""

    def __init__(self, folder: Path, *, anonymous: str = "auth", pieces: str | None = None) -> None:
        self.folder = folder
        self.authority = Authority(folder / "ca")
        self.ca_file = str(self.authority.ca_file)
        certificate, key = self.authority.issue("vm", ["vm", "localhost", "127.0.0.1"])
        (folder / "db").mkdir(parents=True)
        self.port, self.tls_port = free_port(), free_port()
        self._config = folder / "slapd.conf"
        self._config.write_text(
            _CONFIG.format(
                folder=folder,
                ca=self.ca_file,
                certificate=certificate,
                key=key,
                reader=BIND_DN,
                anonymous=anonymous,
                suffix=SUFFIX,
                root=ROOT_DN,
                root_password=ROOT_PASSWORD,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.add(everybody() if pieces is None else pieces)
        if pieces is None:
            self.modify(_CLOSE_RING)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def options(self, **more: Any) -> dict[str, Any]:
        """What is to be configured for it, as in the file."""
        return {
            "name": "corp",
            "url": self.url,
            "start_tls": True,
            "ca_file": self.ca_file,
            "bind_dn": BIND_DN,
            "bind_password": BIND_PASSWORD,
            "base_dn": PEOPLE,
            **more,
        }

    def start(self) -> None:
        assert self._process is None
        assert _SLAPD is not None
        with (self.folder / "slapd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_SLAPD, "-f", str(self._config), "-h", f"{self.url} {self.ldaps_url}", "-d", "0"],
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port, self._process)
        wait_for_port(self.tls_port, self._process)

    def stop(self, how: int = signal.SIGKILL) -> None:
        """End it; nothing is there then that answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Let it take connections, as the kernel does, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def add(self, ldif: str) -> None:
        self._run("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        self._run("ldapmodify", ldif)

    def delete(self, dn: str) -> None:
        self._run("ldapmodify", f"dn: {dn}\nchangetype: delete\n")

    def _run(self, tool: str, ldif: str) -> None:
        login = ["-x", "-H", self.url, "-D", ROOT_DN, "-w", ROOT_PASSWORD]
        done = subprocess.run([tool, *login], input=textwrap.dedent(ldif).encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


class Silent:
    """A server that takes connections and never says a word, or only ``greeting`` to the first that it hears."""

    def __init__(self, greeting: bytes = b"") -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._greeting = greeting
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._kept.append(connection)
            if self._greeting:
                connection.recv(65536)
                connection.sendall(self._greeting)

    def close(self) -> None:
        self._socket.close()
        for connection in self._kept:
            connection.close()


def require_slapd() -> None:
    """Skip the test where there is no slapd."""
    if _SLAPD is None or shutil.which("ldapadd") is None:
        pytest.skip("slapd and ldap-utils are not installed (tools/install-clients brings them)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, "slapd ended: see slapd.log"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("slapd does not listen")
