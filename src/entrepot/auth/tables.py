"""The tables of whoever asks: users, groups, sessions, personal access tokens, robot accounts.

Ids are never used again (``sqlite_autoincrement``): a token that names a deleted account must not fit a new one. A
robot account names its project by id only, since projects stand on a higher floor.
"""

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
    UniqueConstraint,
    text,
)

from entrepot.database import metadata

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("is_admin", SmallInteger, nullable=False),
    Column("is_disabled", SmallInteger, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Column("email", Text, nullable=False, server_default=""),
    Column("real_name", Text, nullable=False, server_default=""),
    Column("comment", Text, nullable=False, server_default=""),
    Column("is_auditor", SmallInteger, nullable=False, server_default="0"),
    Column("source", Text, nullable=False, server_default=""),  # the provider that keeps the account; none: local
    Column("source_admin", SmallInteger, nullable=False, server_default="0"),  # in a provider's group of administrators
    Column("is_gone", SmallInteger, nullable=False, server_default="0"),  # the provider does not know it any more
    Column("is_email_vouched", SmallInteger, nullable=False, server_default="0"),  # entered by nobody for themselves
    Index("ix_users_email", text("lower(email)")),
    sqlite_autoincrement=True,
)

user_identities = Table(
    "user_identities",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("subject", Text, primary_key=True),  # what the provider never changes
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),  # as the provider calls the person
    Column("is_admin", SmallInteger, nullable=False),
    Column("is_gone", SmallInteger, nullable=False),
    Column("checked_at", BigInteger, nullable=False),  # when the provider was asked last
    Column("credential", LargeBinary),  # sealed: what the provider is asked with again
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("user_id", "provider"),
)

cli_secrets = Table(
    "cli_secrets",
    metadata,
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

identity_providers = Table(
    "identity_providers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # ldap, oidc, workload
    Column("options", LargeBinary, nullable=False),  # as JSON, without the secret
    Column("secret", LargeBinary),  # sealed
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

pending_logins = Table(
    "pending_logins",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # SHA-256 of the state, or of the cookie of an onboarding
    Column("kind", Text, nullable=False),  # browser: at the provider; onboarding: back, and without an account
    Column("provider", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_pending_logins_created_at", "created_at"),
)

groups = Table(
    "user_groups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", SmallInteger, nullable=False),  # Harbor's group_type: 1 LDAP, 2 HTTP (made here), 3 OIDC
    Column("ldap_dn", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("provider", Text, nullable=False, server_default=""),
    Column(
        "key", Text, nullable=False, server_default=""
    ),  # how the provider names it: a normalised DN, a claim's value
    Index("ix_user_groups_key", "provider", "key"),
    sqlite_autoincrement=True,
)

group_users = Table(
    "group_users",
    metadata,
    Column("group_id", ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Index("ix_group_users_user_id", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # SHA-256 of the cookie
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("provider", Text, nullable=False, server_default=""),  # where the login was
    Column("id_token", LargeBinary),  # sealed: what ends the session at the provider too
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_used_at", "used_at"),
)

personal_tokens = Table(
    "personal_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),  # SHA-256: the secret has 256 random bits
    Column("scope", LargeBinary, nullable=False),  # permissions as JSON; null: all that the user may do
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("last_used_address", Text),
    UniqueConstraint("user_id", "name"),
    sqlite_autoincrement=True,
)

robots = Table(
    "robots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE")),
    Column("name", Text, nullable=False),  # without prefix and project
    Column("description", Text, nullable=False),
    Column("permissions", LargeBinary, nullable=False),  # as JSON
    Column("networks", LargeBinary, nullable=False),  # CIDR texts as JSON; empty: from everywhere
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("duration", Integer, nullable=False),  # days; -1: never expires
    Column("is_disabled", SmallInteger, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("creator_kind", Text, nullable=False),
    Column("creator_id", Integer, nullable=False),
    Column("last_used_at", BigInteger),
    Column("last_used_address", Text),
    Index("ix_robots_project_id", "project_id"),
    Index("ix_robots_name", text("coalesce(project_id, 0)"), "name", unique=True),
    sqlite_autoincrement=True,
)

robot_secrets = Table(
    "robot_secrets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("robot_id", ForeignKey(robots.c.id, ondelete="CASCADE"), nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index("ix_robot_secrets_robot_id", "robot_id"),
    sqlite_autoincrement=True,
)

robot_trusts = Table(
    "robot_trusts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("robot_id", ForeignKey(robots.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("issuer", Text, nullable=False),  # a workload provider's name
    Column("rule", Text, nullable=False),  # on the token's claims
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),
    UniqueConstraint("robot_id", "name"),
    Index("ix_robot_trusts_issuer", "issuer"),
    sqlite_autoincrement=True,
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index("ix_login_failures_last_at", "last_at"),
)
