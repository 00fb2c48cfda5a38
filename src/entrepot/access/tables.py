"""The tables of rights: custom roles, and who has which role where."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from entrepot.auth.tables import groups, users
from entrepot.database import metadata
from entrepot.projects.tables import projects

roles = Table(
    "roles",
    metadata,
    Column("id", Integer, primary_key=True),  # from 100 on: the smaller ones are built in
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("permissions", LargeBinary, nullable=False),  # [resource, action] pairs as JSON
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

grants = Table(
    "grants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE")),
    Column("group_id", ForeignKey(groups.c.id, ondelete="CASCADE")),
    Column("role_id", Integer, nullable=False),
    Column("repositories", LargeBinary, nullable=False),  # patterns as JSON; empty: every repository
    Column("tags", LargeBinary, nullable=False),  # patterns as JSON; empty: every tag
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="ck_grants_entity"),
    Index("ix_grants_project_id", "project_id"),
    Index("ix_grants_user_id", "user_id", "project_id"),
    Index("ix_grants_group_id", "group_id", "project_id"),
    Index("ix_grants_role_id", "role_id"),
    sqlite_autoincrement=True,
)
