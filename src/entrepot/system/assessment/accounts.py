"""Checks of people's accounts: passwords that everybody knows, administrators, tokens, how logins are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import and_, bindparam, literal_column, or_, select

from entrepot.auth.options import LdapOptions, OidcOptions, Options, WorkloadOptions
from entrepot.auth.tables import personal_tokens, users
from entrepot.database import Database
from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.settings.model import DEFAULTS
from entrepot.settings.service import Settings
from entrepot.system.assessment.rows import bounded, first_rows

MOST_ADMINISTRATORS = 5
_TRIED_ACCOUNTS = 5
WELL_KNOWN = (
    "Harbor12345", "admin", "password", "entrepot", "changeme", "changeit", "change-me", "12345678", "123456789",
    "password1", "password123", "Password1", "Password123", "P@ssw0rd", "Passw0rd", "admin123", "admin1234",
    "adminadmin", "administrator", "Entrepot1", "entrepot123", "Entrepot12345", "registry", "welcome1", "qwertyui",
)  # fmt: skip
"""What is tried first by whoever guesses."""

Providers = Callable[[], Awaitable[Sequence[Options]]]
"""The identity providers that are configured, wherever that is."""

WEAK_PASSWORD = Weakness(
    id="password-well-known",
    severity="critical",
    title="An administrator's password is one that everybody knows",
    reason="It is among the first that are tried, and opens everything.",
    remedy="entrepot user password NAME",
)
MANY_ADMINISTRATORS = Weakness(
    id="administrators-many",
    severity="low",
    title="Many accounts administer the system",
    reason=f"Each of them can read and delete everything; more than {MOST_ADMINISTRATORS} are hard to watch.",
    remedy="Take the right away where a role in projects is enough: PUT /api/v2.0/users/ID/sysadmin "
    '{"sysadmin_flag": false}; whoever only looks is an auditor.',
)
TOKEN_FOREVER = Weakness(
    id="tokens-without-expiry",
    severity="low",
    title="Personal access tokens never expire",
    reason="A token that is lost or forgotten in a script opens the registry for as long as its owner has an account.",
    remedy="Replace each by one with expires_at (POST /api/entrepot/v1/users/current/tokens) and delete the old one.",
)
PASSWORD_RULES = Weakness(
    id="password-rules-weak",
    severity="medium",
    title="The rules for passwords are weaker than the default",
    reason="Short or simple passwords are guessed.",
    remedy="Set entrepot_password_min_length = 8 (or more) and entrepot_password_classes = 3: "
    "PUT /api/v2.0/configurations, or the section [settings].",
)
PROVIDER_PLAIN = Weakness(
    id="provider-without-tls",
    severity="high",
    title="An identity provider is asked without TLS",
    reason="Passwords or keys cross the network unprotected: whoever is on the way logs in as anybody.",
    remedy="LDAP: write ldaps:// or set start_tls = true; OpenID and workload issuers: write https://.",
)
PROVIDER_UNVERIFIED = Weakness(
    id="provider-unverified",
    severity="high",
    title="An identity provider's certificate is not checked",
    reason="Whoever is on the way can pose as the provider and let in anybody.",
    remedy="Set verify_certificate = true, and ca_file if the provider has an authority of its own.",
)

_NOT_REMOTE = or_(users.c.source == literal_column("''"), users.c.source.is_(None))
_ADMINISTERS = and_(
    or_(users.c.is_admin == literal_column("1"), users.c.source_admin == literal_column("1")),
    users.c.is_disabled == literal_column("0"),
)
_PASSWORDS = bounded(select(users.c.name, users.c.password_hash).where(_ADMINISTERS, _NOT_REMOTE).order_by(users.c.id))
_ADMINISTRATORS = bounded(select(users.c.name).where(_ADMINISTERS).order_by(users.c.id))
_TOKENS = bounded(
    select(users.c.name, personal_tokens.c.name)
    .join_from(personal_tokens, users)
    .where(
        personal_tokens.c.expires_at.is_(None),
        users.c.is_disabled == literal_column("0"),
        personal_tokens.c.created_at <= bindparam("now"),
    )
    .order_by(personal_tokens.c.id)
)


def checks(database: Database, settings: Settings, providers: Providers) -> list[Check]:
    """The checks of accounts."""

    async def well_known() -> list[Finding]:
        rows, _ = await first_rows(database, _PASSWORDS)
        hashes = [(str(name), str(hashed)) for name, hashed in rows[:_TRIED_ACCOUNTS]]
        found = await asyncio.to_thread(guessable, hashes)
        remedy = "; ".join(f"entrepot user password {name}" for name in found)
        return one(WEAK_PASSWORD.found(found, remedy=remedy) if found else None)

    async def many() -> list[Finding]:
        rows, total = await first_rows(database, _ADMINISTRATORS)
        too_many = total > MOST_ADMINISTRATORS
        return one(MANY_ADMINISTRATORS.found([row[0] for row in rows], total) if too_many else None)

    async def forever() -> list[Finding]:
        rows, total = await first_rows(database, _TOKENS, now=clock.now_us())
        return one(TOKEN_FOREVER.found([f"{token} of {owner}" for owner, token in rows], total) if total else None)

    async def rules() -> list[Finding]:
        return one(
            weak_rules(
                await settings.number("entrepot_password_min_length"),
                await settings.number("entrepot_password_classes"),
            )
        )

    async def plain() -> list[Finding] | None:
        options = await providers()
        return named(PROVIDER_PLAIN, [o for o in options if is_plain(o)]) if options else None

    async def unverified() -> list[Finding] | None:
        options = await providers()
        return named(PROVIDER_UNVERIFIED, [o for o in options if is_unverified(o)]) if options else None

    return [
        Check(WEAK_PASSWORD, well_known),
        Check(MANY_ADMINISTRATORS, many),
        Check(TOKEN_FOREVER, forever),
        Check(PASSWORD_RULES, rules),
        Check(PROVIDER_PLAIN, plain),
        Check(PROVIDER_UNVERIFIED, unverified),
    ]


def guessable(accounts: Sequence[tuple[str, str]]) -> list[str]:
    """Which accounts (name, argon2 hash) have a password that everybody knows; 20 ms a try, so not on the loop."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - for this one check
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    hasher = PasswordHasher()

    def opens(hashed: str, word: str) -> bool:
        try:
            return hasher.verify(hashed, word)
        except (VerificationError, InvalidHashError):
            return False

    return [
        name for name, hashed in accounts if any(opens(hashed, word) for word in dict.fromkeys((*WELL_KNOWN, name)))
    ]


def weak_rules(shortest: int, classes: int) -> Finding | None:
    """Whether the rules ask for less than by default."""
    default_length, default_classes = DEFAULTS["entrepot_password_min_length"], DEFAULTS["entrepot_password_classes"]
    # A long passphrase needs no kinds of characters.
    long_enough = shortest >= 2 * default_length
    if shortest >= default_length and (classes >= default_classes or long_enough):
        return None
    return PASSWORD_RULES.found(
        [f"entrepot_password_min_length = {shortest}", f"entrepot_password_classes = {classes}"]
    )


def named(weakness: Weakness, options: Sequence[Options]) -> list[Finding]:
    """The finding about these providers, if there are any."""
    return [weakness.found([f"{o.name} ({o.kind})" for o in options])] if options else []


def is_plain(options: Options) -> bool:
    """Whether a provider is asked without TLS."""
    if isinstance(options, LdapOptions):
        return options.url.startswith("ldap://") and not options.start_tls
    if isinstance(options, OidcOptions):
        return options.endpoint.startswith("http://")
    if isinstance(options, WorkloadOptions):
        asked = options.jwks_url or ("" if options.jwks_file else options.issuer)
        return asked.startswith("http://")
    return False


def is_unverified(options: Options) -> bool:
    """Whether a provider's certificate is not checked, where it shows one."""
    return not is_plain(options) and not getattr(options, "verify_certificate", True)
