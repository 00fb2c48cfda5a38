"""The one MetaData to which every slice's store adds its tables."""

from __future__ import annotations

from sqlalchemy import LargeBinary, MetaData, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Names and tags are ordered by bytes everywhere: SQLite does so by itself, PostgreSQL with this collation.
ByteOrderedText = Text().with_variant(Text(collation="C"), "postgresql")

Digest = LargeBinary
"""A compact digest: one byte for the algorithm, then the raw hash (``oci.digest.pack``)."""
