"""The tables of the registry.

Keys are ready for partitions: what belongs to a repository begins with its id, what belongs to content is found by
digest (scale.md, 5.1 and 5.3). Subjects and children are digests, not rows, since either may be missing.
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
)

from entrepot.database import metadata
from entrepot.database.tables import ByteOrderedText, Digest
from entrepot.projects.tables import labels, projects

_BigId = BigInteger().with_variant(Integer, "sqlite")

repositories = Table(
    "repositories",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey(projects.c.id, ondelete="CASCADE"), nullable=False),
    Column("path", ByteOrderedText, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Column("description", Text, nullable=False, server_default=""),
    Column("pull_count", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("project_id", "path"),
    sqlite_autoincrement=True,
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("location", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", ForeignKey(repositories.c.id, ondelete="CASCADE"), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_repository_blobs_digest", "digest"),
)

manifests = Table(
    "manifests",
    metadata,
    Column("id", _BigId, primary_key=True),
    Column("repository_id", ForeignKey(repositories.c.id, ondelete="CASCADE"), nullable=False),
    Column("digest", Digest, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("artifact_type", Text),
    Column("config_type", Text),
    Column("size", Integer, nullable=False),
    Column("subject", Digest),
    Column("referrer", LargeBinary),  # the descriptor that the referrers list of the subject shows, as JSON
    Column("created_at", BigInteger, nullable=False),
    # What lists show, worked out when it is pushed, so that a page costs what a page costs.
    Column("kind", Text, nullable=False, server_default="UNKNOWN"),
    Column("total_size", BigInteger, nullable=False, server_default="0"),  # with all that it names, in bytes
    Column("accessory_of", Digest),  # the subject, or what cosign's tag names
    Column("accessory_kind", Text),
    Column("is_listed", SmallInteger, nullable=False, server_default="1"),  # no accessory, no untagged child
    Column("pulled_at", BigInteger),
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifests_subject", "repository_id", "subject", "id"),
    Index("ix_manifests_listed", "repository_id", "is_listed", "created_at", "id"),
    Index("ix_manifests_accessory_of", "repository_id", "accessory_of"),
)

# Apart from the rows that lists read, so that a list does not read payloads.
manifest_payloads = Table(
    "manifest_payloads",
    metadata,
    Column("manifest_id", ForeignKey(manifests.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)

manifest_blobs = Table(
    "manifest_blobs",
    metadata,
    Column("manifest_id", ForeignKey(manifests.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("digest", Digest, primary_key=True),
    Column("repository_id", Integer, nullable=False),
    Index("ix_manifest_blobs_digest", "digest", "repository_id"),
)

manifest_children = Table(
    "manifest_children",
    metadata,
    Column("manifest_id", ForeignKey(manifests.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("digest", Digest, primary_key=True),
    Column("repository_id", Integer, nullable=False),
    Index("ix_manifest_children_digest", "repository_id", "digest"),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", ForeignKey(repositories.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", ByteOrderedText, primary_key=True),
    Column("manifest_id", ForeignKey(manifests.c.id, ondelete="CASCADE"), nullable=False),
    Column("pushed_at", BigInteger, nullable=False),
    Index("ix_tags_manifest_id", "manifest_id"),
)

artifact_labels = Table(
    "artifact_labels",
    metadata,
    Column("manifest_id", ForeignKey(manifests.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("label_id", ForeignKey(labels.c.id, ondelete="CASCADE"), primary_key=True),
    Index("ix_artifact_labels_label_id", "label_id"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository_id", ForeignKey(repositories.c.id, ondelete="CASCADE"), nullable=False),
    Column("principal", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Index("ix_uploads_started_at", "started_at"),
    Index("ix_uploads_repository_id", "repository_id"),
)
