"""The tables of projects: the tenants, their former names, labels, and the quota ledger."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from entrepot.auth.tables import users
from entrepot.database import metadata
from entrepot.database.tables import ByteOrderedText, Digest

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", ByteOrderedText, nullable=False, unique=True),
    Column("is_public", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Column("owner_id", ForeignKey(users.c.id, ondelete="SET NULL")),
    Column("owner_name", Text, nullable=False, server_default=""),
    Column("metadata", LargeBinary, nullable=False, server_default="{}"),  # Harbor's keys but "public", as JSON
    Column("quota", BigInteger, nullable=False, server_default="-1"),  # bytes; -1: no limit
    Column("allow_networks", LargeBinary, nullable=False, server_default="[]"),  # CIDR texts as JSON; empty: everywhere
    Column("deny_networks", LargeBinary, nullable=False, server_default="[]"),
    # The catalog is ordered by full repository names: "a-b/x" comes before "a/x", since "-" sorts before "/".
    Index("ix_projects_catalog", text("(name || '/')")),
    Index("ix_projects_owner_id", "owner_id"),
    sqlite_autoincrement=True,
)

project_aliases = Table(
    "project_aliases",
    metadata,
    Column("name", ByteOrderedText, primary_key=True),
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_project_aliases_project_id", "project_id"),
)

labels = Table(
    "labels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE")),  # none: a global label
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_labels_name", text("coalesce(project_id, 0)"), "name", unique=True),
    Index("ix_labels_project_id", "project_id"),
    sqlite_autoincrement=True,
)

# The ledger. ``used`` is the sum of ``size`` in project_content, ``reserved`` that of reservations: kept beside them in
# the same transactions, since summing a large project for every push would cost what its size costs.
project_usage = Table(
    "project_usage",
    metadata,
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("used", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)

project_content = Table(
    "project_content",
    metadata,
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), primary_key=True),
    Column("digest", Digest, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("uses", Integer, nullable=False),  # manifests of the project that name it; a manifest names itself
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Text, primary_key=True),  # the upload session's, or a fresh one for a mount
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("digest", Digest),  # none while bytes still flow
    Column("size", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_reservations_project_id_digest", "project_id", "digest"),
    Index("ix_reservations_expires_at", "expires_at"),
)
