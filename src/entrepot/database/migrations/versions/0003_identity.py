"""Identity providers, accounts that come from them, workloads that robots trust, and projects' address rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend_old_tables()
    _create_account_tables()
    _create_provider_tables()


def _extend_old_tables() -> None:
    op.add_column("users", sa.Column("source", sa.Text(), server_default="", nullable=False))
    op.add_column("users", sa.Column("source_admin", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("is_gone", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("is_email_vouched", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_index("ix_users_email", "users", [sa.text("lower(email)")])
    op.add_column("user_groups", sa.Column("provider", sa.Text(), server_default="", nullable=False))
    op.add_column("user_groups", sa.Column("key", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_user_groups_key", "user_groups", ["provider", "key"])
    op.execute("UPDATE user_groups SET key = CASE kind WHEN 1 THEN lower(ldap_dn) ELSE name END WHERE kind <> 2")
    op.add_column("sessions", sa.Column("provider", sa.Text(), server_default="", nullable=False))
    op.add_column("sessions", sa.Column("id_token", sa.LargeBinary(), nullable=True))
    op.add_column("projects", sa.Column("allow_networks", sa.LargeBinary(), server_default="[]", nullable=False))
    op.add_column("projects", sa.Column("deny_networks", sa.LargeBinary(), server_default="[]", nullable=False))


def _create_account_tables() -> None:
    op.create_table(
        "user_identities",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.SmallInteger(), nullable=False),
        sa.Column("is_gone", sa.SmallInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_identities_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider", "subject", name=op.f("pk_user_identities")),
        sa.UniqueConstraint("user_id", "provider", name=op.f("uq_user_identities_user_id_provider")),
    )
    op.create_table(
        "cli_secrets",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_cli_secrets_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_cli_secrets")),
    )
    op.create_table(
        "pending_logins",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_logins")),
    )
    op.create_index("ix_pending_logins_created_at", "pending_logins", ["created_at"])


def _create_provider_tables() -> None:
    op.create_table(
        "identity_providers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("options", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_providers")),
        sa.UniqueConstraint("name", name=op.f("uq_identity_providers_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "robot_trusts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("robot_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robots.id"], name=op.f("fk_robot_trusts_robot_id_robots"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_trusts")),
        sa.UniqueConstraint("robot_id", "name", name=op.f("uq_robot_trusts_robot_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_robot_trusts_issuer", "robot_trusts", ["issuer"])
