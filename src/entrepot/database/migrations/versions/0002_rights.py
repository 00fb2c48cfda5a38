"""Rights, robot accounts, quotas, settings, and what lists show of artifacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from entrepot.errors import InvalidInput
from entrepot.oci import artifact, digest, manifest

revision = "0002"
down_revision = "0001"
_MOST_BYTES = 2**50
"""As ``registry.store.MOST_BYTES`` was when this was written."""

branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend_old_tables()
    _create_auth_tables()
    _create_project_tables()
    _create_access_tables()
    _fill_manifests()
    _fill_ledger()


def _extend_old_tables() -> None:
    # Rebuilt rather than altered: their ids must never be used again.
    op.drop_index("ix_projects_catalog", "projects")
    with op.batch_alter_table("users", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as users:
        users.add_column(sa.Column("updated_at", sa.BigInteger(), server_default="0", nullable=False))
        users.add_column(sa.Column("email", sa.Text(), server_default="", nullable=False))
        users.add_column(sa.Column("real_name", sa.Text(), server_default="", nullable=False))
        users.add_column(sa.Column("comment", sa.Text(), server_default="", nullable=False))
        users.add_column(sa.Column("is_auditor", sa.SmallInteger(), server_default="0", nullable=False))
    with op.batch_alter_table("projects", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as projects:
        projects.add_column(sa.Column("updated_at", sa.BigInteger(), server_default="0", nullable=False))
        projects.add_column(sa.Column("owner_id", sa.Integer(), nullable=True))
        projects.add_column(sa.Column("owner_name", sa.Text(), server_default="", nullable=False))
        projects.add_column(sa.Column("metadata", sa.LargeBinary(), server_default="{}", nullable=False))
        projects.add_column(sa.Column("quota", sa.BigInteger(), server_default="-1", nullable=False))
        projects.create_foreign_key(
            op.f("fk_projects_owner_id_users"), "users", ["owner_id"], ["id"], ondelete="SET NULL"
        )
    with op.batch_alter_table(
        "repositories", recreate="always", table_kwargs={"sqlite_autoincrement": True}
    ) as repositories:
        repositories.add_column(sa.Column("updated_at", sa.BigInteger(), server_default="0", nullable=False))
        repositories.add_column(sa.Column("description", sa.Text(), server_default="", nullable=False))
        repositories.add_column(sa.Column("pull_count", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_projects_catalog", "projects", [sa.text("(name || '/')")])
    op.create_index("ix_projects_owner_id", "projects", ["owner_id"])
    op.execute("UPDATE projects SET updated_at = created_at")
    op.execute("UPDATE repositories SET updated_at = created_at")
    op.execute("UPDATE users SET updated_at = created_at")
    op.add_column("journal", sa.Column("operation", sa.Text(), server_default="", nullable=False))
    op.add_column("journal", sa.Column("resource_type", sa.Text(), server_default="", nullable=False))
    op.add_column("journal", sa.Column("resource", sa.Text(), server_default="", nullable=False))
    op.add_column("journal", sa.Column("project_id", sa.Integer(), nullable=True))
    op.add_column("journal", sa.Column("is_refused", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("manifests", sa.Column("kind", sa.Text(), server_default="UNKNOWN", nullable=False))
    op.add_column("manifests", sa.Column("total_size", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("manifests", sa.Column("accessory_of", sa.LargeBinary(), nullable=True))
    op.add_column("manifests", sa.Column("accessory_kind", sa.Text(), nullable=True))
    op.add_column("manifests", sa.Column("is_listed", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("manifests", sa.Column("pulled_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_journal_operation", "journal", ["operation", "id"], unique=False)
    op.create_index("ix_journal_principal", "journal", ["principal", "id"], unique=False)
    op.create_index("ix_journal_project_id", "journal", ["project_id", "id"], unique=False)
    op.create_index("ix_manifests_accessory_of", "manifests", ["repository_id", "accessory_of"], unique=False)
    op.create_index(
        "ix_manifests_listed", "manifests", ["repository_id", "is_listed", "created_at", "id"], unique=False
    )
    op.create_index("ix_uploads_repository_id", "uploads", ["repository_id"], unique=False)


def _create_auth_tables() -> None:
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "user_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("ldap_dn", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_user_groups_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "group_users",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name=op.f("fk_group_users_group_id_user_groups"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_group_users_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_group_users")),
    )
    op.create_index("ix_group_users_user_id", "group_users", ["user_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("credential_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_used_at", "sessions", ["used_at"], unique=False)
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_address", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_personal_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_personal_tokens")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_personal_tokens_user_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "robots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("permissions", sa.LargeBinary(), nullable=False),
        sa.Column("networks", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=False),
        sa.Column("is_disabled", sa.SmallInteger(), nullable=False),
        sa.Column("credential_version", sa.Integer(), nullable=False),
        sa.Column("creator_kind", sa.Text(), nullable=False),
        sa.Column("creator_id", sa.Integer(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_address", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_robots_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robots")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_robots_project_id", "robots", ["project_id"])
    op.create_index("ix_robots_name", "robots", [sa.text("coalesce(project_id, 0)"), "name"], unique=True)
    op.create_table(
        "robot_secrets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("robot_id", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robots.id"], name=op.f("fk_robot_secrets_robot_id_robots"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_secrets")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_robot_secrets_robot_id", "robot_secrets", ["robot_id"], unique=False)
    op.create_table(
        "login_failures",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_failures")),
    )
    op.create_index("ix_login_failures_last_at", "login_failures", ["last_at"], unique=False)


def _create_project_tables() -> None:
    op.create_table(
        "project_aliases",
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_aliases_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_project_aliases")),
    )
    op.create_index("ix_project_aliases_project_id", "project_aliases", ["project_id"], unique=False)
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_labels_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_labels_project_id", "labels", ["project_id"], unique=False)
    op.create_index("ix_labels_name", "labels", [sa.text("coalesce(project_id, 0)"), "name"], unique=True)
    op.create_table(
        "project_usage",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_usage_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_project_usage")),
    )
    op.create_table(
        "project_content",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_content_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "digest", name=op.f("pk_project_content")),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_reservations_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_expires_at", "reservations", ["expires_at"], unique=False)
    op.create_index("ix_reservations_project_id_digest", "reservations", ["project_id", "digest"], unique=False)


def _create_access_tables() -> None:
    op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("permissions", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.Column("repositories", sa.LargeBinary(), nullable=False),
        sa.Column("tags", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="ck_grants_entity"),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name=op.f("fk_grants_group_id_user_groups"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_grants_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_grants_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_grants_group_id", "grants", ["group_id", "project_id"], unique=False)
    op.create_index("ix_grants_project_id", "grants", ["project_id"], unique=False)
    op.create_index("ix_grants_role_id", "grants", ["role_id"], unique=False)
    op.create_index("ix_grants_user_id", "grants", ["user_id", "project_id"], unique=False)
    op.create_table(
        "artifact_labels",
        sa.Column(
            "manifest_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["label_id"], ["labels.id"], name=op.f("fk_artifact_labels_label_id_labels"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name=op.f("fk_artifact_labels_manifest_id_manifests"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("manifest_id", "label_id", name=op.f("pk_artifact_labels")),
    )
    op.create_index("ix_artifact_labels_label_id", "artifact_labels", ["label_id"], unique=False)


def _fill_manifests() -> None:
    """Work out for what was pushed before what is worked out at a push now; children come before their index."""
    bind = op.get_bind()
    rows = bind.exec_driver_sql("SELECT id, repository_id, media_type, size FROM manifests ORDER BY id").fetchall()
    for manifest_id, repository_id, media_type, size in rows:
        payload = bind.exec_driver_sql(
            "SELECT payload FROM manifest_payloads WHERE manifest_id = ?", (manifest_id,)
        ).scalar()
        tags = [row[0] for row in bind.exec_driver_sql("SELECT name FROM tags WHERE manifest_id = ?", (manifest_id,))]
        try:
            document = manifest.parse(payload, media_type)
        except InvalidInput:
            continue
        accessory = artifact.accessory_of(document, tags)
        inside = 0
        for listed in {child.digest for child in document.children}:
            inside += (
                bind.exec_driver_sql(
                    "SELECT total_size FROM manifests WHERE repository_id = ? AND digest = ?",
                    (repository_id, digest.pack(listed)),
                ).scalar()
                or 0
            )
        total = min(size + document.named_size, _MOST_BYTES) + min(inside, _MOST_BYTES)
        bind.exec_driver_sql(
            "UPDATE manifests SET kind = ?, total_size = ?, accessory_of = ?, accessory_kind = ? WHERE id = ?",
            (
                artifact.kind_of(document),
                total,
                digest.pack(accessory.subject) if accessory else None,
                accessory.kind if accessory else None,
                manifest_id,
            ),
        )
    bind.exec_driver_sql(
        "UPDATE manifests SET is_listed = 0 WHERE accessory_of IS NOT NULL OR"
        " (NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id) AND EXISTS"
        " (SELECT 1 FROM manifest_children c WHERE c.repository_id = manifests.repository_id"
        " AND c.digest = manifests.digest))"
    )


def _fill_ledger() -> None:
    """What each project's manifests name, and themselves, once a project."""
    op.execute("INSERT INTO project_usage (project_id, used, reserved) SELECT id, 0, 0 FROM projects")
    op.execute(
        "INSERT INTO project_content (project_id, digest, size, uses)"
        " SELECT project_id, digest, max(size), count(*) FROM ("
        " SELECT r.project_id, m.digest, m.size FROM manifests m JOIN repositories r ON r.id = m.repository_id"
        " UNION ALL"
        " SELECT r.project_id, n.digest, coalesce(b.size, 0) FROM"
        " (SELECT manifest_id, repository_id, digest FROM manifest_blobs"
        " UNION SELECT manifest_id, repository_id, digest FROM manifest_children) AS n"
        " JOIN repositories r ON r.id = n.repository_id"
        " LEFT JOIN repository_blobs h ON h.repository_id = n.repository_id AND h.digest = n.digest"
        " LEFT JOIN blobs b ON b.digest = h.digest) AS content GROUP BY project_id, digest"
    )
    op.execute(
        "UPDATE project_usage SET used = coalesce((SELECT sum(size) FROM project_content c"
        " WHERE c.project_id = project_usage.project_id), 0)"
    )
    op.execute("UPDATE projects SET metadata = CAST('{}' AS BLOB)")
