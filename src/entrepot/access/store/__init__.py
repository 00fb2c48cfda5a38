"""Rights: the SQL of roles and grants."""

from entrepot.access.store.reach import Granted, granted, granted_everywhere, reachable

__all__ = ["Granted", "granted", "granted_everywhere", "reachable"]
