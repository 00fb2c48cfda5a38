"""Search filters as operators write them (RFC 4515)."""

from __future__ import annotations

from sansldap import LDAPFilter


def read_filter(text: str) -> LDAPFilter:
    """The filter that an operator wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        return LDAPFilter.from_string(text)
    except (ValueError, LookupError, RecursionError):
        raise ValueError(f"{text[:100]} is no LDAP filter") from None
