"""What a password must be: decided without I/O."""

from __future__ import annotations

import secrets

import msgspec

from entrepot.errors import InvalidInput

LONGEST_PASSWORD = 1024
_OPERATOR_SHORTEST = 8
_MADE_UP = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789-_"
_MADE_UP_LENGTH = 20


class Strength(msgspec.Struct, frozen=True):
    """The rules that are set."""

    shortest: int
    """Characters."""
    classes: int
    """How many of: upper case, lower case, digits, anything else."""

    def check(self, name: str, password: str) -> None:
        """Refuse a weak password for the account ``name``.

        Raises:
            InvalidInput: saying what it needs; it never repeats the password.
        """
        if not self.shortest <= len(password) <= LONGEST_PASSWORD:
            raise _weak(f"A password has {self.shortest} to {LONGEST_PASSWORD} characters.")
        if password.casefold() == name.casefold():
            raise _weak("A password must not be the user's name.")
        if any("\ud800" <= character <= "\udfff" for character in password):
            raise _weak("A password consists of whole characters.")
        if classes_of(password) < self.classes:
            raise _weak(
                f"A password has at least {self.classes} of: upper-case letters, lower-case letters, digits, and "
                "anything else."
            )

    def for_operator(self) -> Strength:
        """What whoever holds the machine is asked for: a length, and no more."""
        return Strength(min(self.shortest, _OPERATOR_SHORTEST), 0)

    def make(self) -> str:
        """A random password that is strong enough."""
        length = max(self.shortest, _MADE_UP_LENGTH)
        while True:
            password = "".join(secrets.choice(_MADE_UP) for _ in range(length))
            if classes_of(password) >= self.classes:
                return password


def classes_of(password: str) -> int:
    """How many kinds of characters there are in ``password``; a letter without case is of the fourth."""
    kinds = {
        "upper" if c.isupper() else "lower" if c.islower() else "digit" if c.isdigit() else "other" for c in password
    }
    return len(kinds)


def _weak(message: str) -> InvalidInput:
    return InvalidInput(message, code="BAD_REQUEST")
