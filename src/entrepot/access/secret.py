"""What a robot account's secret looks like."""

from __future__ import annotations

import re
import secrets
import string

from entrepot.access.scopes import refusal
from entrepot.auth.personal_tokens import PREFIX

_LENGTH = 40
_SHORTEST, _LONGEST = 8, 128
_NEEDED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
_ALPHABET = string.ascii_letters + string.digits


def random_secret() -> str:
    """A secret of 40 letters and digits, with each kind of them."""
    while True:
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        if all(needed.search(secret) for needed in _NEEDED):
            return secret


def check_secret(secret: str) -> None:
    """Refuse a chosen secret that cannot be good.

    Raises:
        InvalidInput: it is too short, too long, too simple, or looks like a personal access token.
    """
    if not _SHORTEST <= len(secret) <= _LONGEST or not all(needed.search(secret) for needed in _NEEDED):
        raise refusal(
            f"A robot account's secret has {_SHORTEST} to {_LONGEST} characters, among them a capital letter, a small "
            "letter and a digit."
        )
    if secret.startswith(PREFIX):
        raise refusal(f"A robot account's secret cannot begin with {PREFIX}: personal access tokens do.")
