"""A small LDAP directory (Debian's slapd) with one person, for the logins of people that a company has already."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Self

from bench.process import Program, wait_a_moment

SLAPD_PROGRAM = "/usr/sbin/slapd"
LDAPADD_PROGRAM = "/usr/bin/ldapadd"
USER, PASSWORD = "alice", "Warm-Password-1"

_SUFFIX = "dc=bench,dc=test"
_START_LIMIT = 10.0
_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb.la
database mdb
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw root
directory {folder}/db
"""
_ENTRIES = """\
dn: {suffix}
objectClass: dcObject
objectClass: organization
o: Bench
dc: bench

dn: uid={user},{suffix}
objectClass: inetOrgPerson
uid: {user}
cn: {user}
sn: {user}
mail: {user}@bench.test
userPassword: {password}
"""


class Directory:
    """The server in a folder of its own; as a context manager it runs inside the block."""

    def __init__(self, folder: Path, port: int) -> None:
        """`folder` is made; `port` is free."""
        self._folder = folder
        self._port = port
        self._program: Program | None = None

    @property
    def variable(self) -> str:
        """What ENTREPOT_IDENTITY_LDAP holds, so that Entrepôt asks it."""
        url = f"ldap://127.0.0.1:{self._port}"
        return json.dumps([{"name": "bench", "url": url, "base_dn": _SUFFIX, "membership_attribute": ""}])

    def __enter__(self) -> Self:
        (self._folder / "db").mkdir(parents=True)
        config = self._folder / "slapd.conf"
        config.write_text(_CONFIG.format(suffix=_SUFFIX, folder=self._folder))
        url = f"ldap://127.0.0.1:{self._port}"
        self._program = Program([SLAPD_PROGRAM, "-f", str(config), "-h", url, "-d", "0"], self._folder / "log", {})
        deadline = time.monotonic() + _START_LIMIT
        entries = _ENTRIES.format(suffix=_SUFFIX, user=USER, password=PASSWORD)
        add = [LDAPADD_PROGRAM, "-x", "-H", url, "-D", f"cn=root,{_SUFFIX}", "-w", "root"]
        while subprocess.run(add, input=entries, text=True, capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                self.__exit__()
                raise TimeoutError(f"slapd did not start; see {self._folder / 'log'}")
            wait_a_moment()
        return self

    def __exit__(self, *_: object) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.stop()
