"""Settings: read without delay, changed together, fixed by the operator."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select

from entrepot.database import Transaction, query
from entrepot.errors import ConfigError, Denied, InvalidInput, Unreadable
from entrepot.journal.model import SYSTEM, Origin
from entrepot.kit.secretbox import SecretBox, new_key
from entrepot.settings import store
from entrepot.settings.model import DEFAULTS, SETTINGS, Value
from entrepot.settings.service import Settings
from tests.integration.rig import Bench, Rig

JANE = Origin("jane", "192.0.2.1", "curl", "r-7")

ROWS = query(select(store.settings.c.key, store.settings.c.value, store.settings.c.updated_at))
PLANT = query(insert(store.settings).values({c.name: bindparam(c.name) for c in store.settings.columns}))


async def plant(rig: Rig, **values: str) -> None:
    """Rows as another version of the program may have left them."""

    async def work(tx: Transaction) -> None:
        await tx.many(PLANT, [{"key": key, "value": value, "updated_at": 0} for key, value in values.items()])

    await rig.database.write(work)


async def changes(rig: Rig) -> list[Any]:
    return [event["changes"] for event in await rig.events() if event["kind"] == "SettingsChanged"]


def test_everything_has_its_default_until_it_is_set(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        assert {key: await settings.read(key) for key in SETTINGS} == DEFAULTS
        assert await settings.text("robot_name_prefix") == "robot$"
        assert await settings.number("session_timeout") == 60
        assert await settings.boolean("read_only") is False
        assert await settings.text("oidc_client_secret") == ""
        with pytest.raises(KeyError):
            await settings.read("no_such_key")

    run(work)


def test_what_is_set_is_read_at_once_and_the_journal_knows_by_whom(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        assert await settings.boolean("read_only") is False
        before = time.time_ns() // 1000
        await settings.update(JANE, {"read_only": True, "session_timeout": 5, "robot_name_prefix": "bot+"})
        assert await settings.boolean("read_only") is True
        assert await settings.number("session_timeout") == 5
        assert await settings.text("robot_name_prefix") == "bot+"
        events = [event for event in await rig.events() if event["kind"] == "SettingsChanged"]
        assert [event["principal"] for event in events] == ["jane"]
        assert events[0]["changes"] == {"read_only": "true", "session_timeout": "5", "robot_name_prefix": "bot+"}
        rows = {row[0]: row[1:] for row in await rig.database.all(ROWS)}
        assert {key: row[0] for key, row in rows.items()} == {
            "read_only": "true",
            "session_timeout": "5",
            "robot_name_prefix": '"bot+"',
        }
        assert all(before <= row[1] <= time.time_ns() // 1000 for row in rows.values())

    run(work)


def test_what_is_set_outlives_the_process_and_can_be_set_back(run: Bench) -> None:
    async def first(rig: Rig) -> None:
        await Settings(rig.database, {}).update(
            JANE, {"storage_per_project": 1024, "banner_message": '{"message":"é"}'}
        )

    async def second(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        assert await settings.number("storage_per_project") == 1024
        assert await settings.text("banner_message") == '{"message":"é"}'
        await settings.update(JANE, {"storage_per_project": -1, "banner_message": ""})
        assert await settings.number("storage_per_project") == -1
        assert await settings.text("banner_message") == ""
        assert (await changes(rig))[-1] == {"storage_per_project": "-1", "banner_message": ""}

    run(first)
    run(second)


def test_one_wrong_value_and_nothing_is_set(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {"session_timeout": 10})
        for wrong in ({"token_expiration": 0}, {"auth_mode": "ldap_auth"}, {"uaa_endpoint": "https://uaa.example.com"}):
            with pytest.raises(InvalidInput) as refused:
                await settings.update(JANE, {"read_only": True, **wrong})
            assert refused.value.error_code == "BAD_REQUEST"
            assert next(iter(wrong)) in refused.value.message
        with pytest.raises(Denied, match="session_timeout"):
            await settings.update(JANE, {"read_only": True, "session_timeout": 20})
        assert await settings.boolean("read_only") is False
        assert await rig.database.all(ROWS) == []
        assert await changes(rig) == []

    run(work)


def test_keys_that_nobody_knows_and_nulls_are_ignored(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        await settings.update(JANE, {})
        await settings.update(JANE, {"no_such_key": 1, "email_host": "smtp", "session_timeout": None})
        assert await changes(rig) == []
        await settings.update(JANE, {"no_such_key": 1, "session_timeout": 7})
        assert await changes(rig) == [{"session_timeout": "7"}]
        assert [row[0] for row in await rig.database.all(ROWS)] == ["session_timeout"]

    run(work)


def test_setting_what_holds_already_changes_nothing_and_is_no_fact(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        await settings.update(JANE, {"session_timeout": 60})
        assert await rig.database.all(ROWS) == []
        await settings.update(JANE, {"session_timeout": 61, "read_only": False})
        await settings.update(JANE, {"session_timeout": 61})
        assert await changes(rig) == [{"session_timeout": "61"}]

    run(work)


def test_all_settings_but_the_secrets_are_listed_with_who_may_change_them(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {"read_only": True})
        await settings.update(JANE, {"session_timeout": 5})
        listed = await settings.all()
        secrets = {"ldap_search_password", "oidc_client_secret", "uaa_client_secret"}
        assert set(listed) == set(SETTINGS) - secrets
        assert listed["session_timeout"] == Value(5, editable=True)
        assert listed["token_expiration"] == Value(30, editable=True)
        assert listed["read_only"] == Value(True, editable=False)
        assert listed["auth_mode"] == Value("db_auth", editable=True)
        assert listed["uaa_endpoint"] == Value("", editable=False)

    run(work)


def test_what_was_listed_can_be_sent_back_unchanged(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {"read_only": True})
        listed = await settings.all()
        await settings.update(JANE, {key: item.value for key, item in listed.items()})
        assert await changes(rig) == []

    run(work)


def test_an_override_holds_over_what_was_set_and_says_so_when_somebody_tries(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await Settings(rig.database, {}).update(JANE, {"robot_name_prefix": "old$"})
        settings = Settings(rig.database, {"robot_name_prefix": "ci$"})
        assert await settings.text("robot_name_prefix") == "ci$"
        with pytest.raises(Denied, match="robot_name_prefix is fixed by the operator") as refused:
            await settings.update(JANE, {"robot_name_prefix": "old$"})
        assert refused.value.error_code == "FORBIDDEN"
        await settings.update(JANE, {"robot_name_prefix": "ci$", "session_timeout": 5})
        assert (await changes(rig))[1:] == [{"session_timeout": "5"}]

    run(work)


def test_a_wrong_override_is_refused_at_the_start(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(ConfigError, match="robot_name_prefix"):
            Settings(rig.database, {"robot_name_prefix": "a:b"})

    run(work)


def test_a_secret_of_a_feature_that_is_not_built_is_refused_and_appears_nowhere(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        with pytest.raises(InvalidInput, match="uaa_client_secret cannot be changed") as refused:
            await settings.update(JANE, {"uaa_client_secret": "hunter2"})
        assert "hunter2" not in refused.value.message
        assert "hunter2" not in str(await rig.events())
        assert "hunter2" not in str(await settings.all())

    run(work)


def test_the_audit_log_cannot_be_ended_where_nobody_else_keeps_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        with pytest.raises(InvalidInput, match="audit_log_forward_endpoint"):
            await settings.update(JANE, {"skip_audit_log_database": True, "read_only": True})
        assert await settings.boolean("read_only") is False
        await settings.update(JANE, {"skip_audit_log_database": False})

    run(work)


def test_rows_that_another_version_left_are_passed_over(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        await plant(
            rig,
            of_tomorrow="1",
            uaa_endpoint='"https://uaa.example.com"',
            session_timeout='"soon"',
            token_expiration="{",
            robot_token_duration="90",
        )
        assert await settings.text("uaa_endpoint") == ""
        assert await settings.number("session_timeout") == 60
        assert await settings.number("token_expiration") == 30
        assert await settings.number("robot_token_duration") == 90
        assert set(await settings.all()) < set(SETTINGS)
        await settings.update(JANE, {"session_timeout": 5})
        assert await settings.number("session_timeout") == 5

    run(work)


def test_a_change_by_one_process_is_seen_by_the_other_at_once(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        here, there = Settings(one.database, {}), Settings(two.database, {})
        for minutes in range(1, 50):
            writer, reader = (here, there) if minutes % 2 else (there, here)
            await writer.update(SYSTEM, {"session_timeout": minutes})
            assert await reader.number("session_timeout") == minutes
            assert await writer.number("session_timeout") == minutes
        assert len(await changes(one)) == 49

    run.both(work)


def test_many_change_settings_at_once_and_each_change_is_whole(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        both = (Settings(one.database, {}), Settings(two.database, {}))
        await asyncio.gather(
            *(both[n % 2].update(SYSTEM, {"session_timeout": n, "token_expiration": n}) for n in range(100, 140))
        )
        values = await both[0].number("session_timeout"), await both[0].number("token_expiration")
        assert values[0] == values[1]
        facts = await changes(one)
        assert len(facts) == 40
        assert all(fact["session_timeout"] == fact["token_expiration"] for fact in facts)

    run.both(work)


def test_reading_asks_the_database_only_after_somebody_committed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        await settings.update(SYSTEM, {"session_timeout": 5})
        statements: list[str] = []
        reader = rig.database._reader
        assert reader is not None
        reader.set_trace_callback(statements.append)
        for _ in range(1000):
            assert await settings.number("session_timeout") == 5
        assert len(statements) == 1
        await rig.make_project("team", is_public=False)
        statements.clear()
        assert await settings.number("session_timeout") == 5
        assert len(statements) == 1

    run(work)


# secrets

LDAP = {"ldap_url": "ldaps://ldap.example.com", "ldap_base_dn": "dc=example,dc=com"}


def test_a_secret_is_kept_sealed_and_appears_nowhere(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {}, SecretBox(keys=new_key()))
        await settings.update(JANE, {"ldap_search_password": "hunter2", **LDAP})
        assert await settings.text("ldap_search_password") == "hunter2"
        assert "ldap_search_password" not in await settings.all()
        kept = str(await rig.database.all(ROWS)) + str(await rig.events())
        assert "hunter2" not in kept
        assert '"ldap_search_password": "…"' in kept or "'ldap_search_password': '…'" in kept
        await settings.update(JANE, {"ldap_search_password": "hunter2"})
        assert len(await changes(rig)) == 1
        await settings.update(JANE, {"ldap_search_password": ""})
        assert await settings.text("ldap_search_password") == ""

    run(work)


def test_without_a_key_no_secret_can_be_set(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        with pytest.raises(InvalidInput, match="oidc_client_secret cannot be set here"):
            await settings.update(JANE, {"oidc_client_secret": "hunter2", "read_only": True})
        assert await settings.boolean("read_only") is False

    run(work)


def test_a_secret_under_a_lost_key_harms_no_other_setting_and_can_be_set_anew(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await Settings(rig.database, {}, SecretBox(keys=new_key())).update(
            JANE, {"oidc_client_secret": "hunter2", "session_timeout": 5}
        )
        settings = Settings(rig.database, {}, SecretBox(keys=new_key()))
        assert await settings.number("session_timeout") == 5
        assert (await settings.snapshot())["oidc_client_secret"] is None
        with pytest.raises(Unreadable, match="oidc_client_secret"):
            await settings.text("oidc_client_secret")
        await settings.update(JANE, {"oidc_client_secret": "another"})
        assert await settings.text("oidc_client_secret") == "another"

    run(work)


def test_a_kept_secret_goes_to_no_other_place_than_it_was_given_for(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {}, SecretBox(keys=new_key()))
        await settings.update(JANE, {"ldap_search_password": "hunter2", **LDAP})
        for elsewhere in (
            {"ldap_url": "ldaps://evil.example.com"},
            {"ldap_verify_cert": False},
            {"entrepot_ldap_start_tls": True},
        ):
            with pytest.raises(InvalidInput, match="cannot change without ldap_search_password"):
                await settings.update(JANE, elsewhere)
        assert await settings.text("ldap_url") == "ldaps://ldap.example.com"
        await settings.update(JANE, {"ldap_url": "ldaps://new.example.com", "ldap_search_password": "hunter2"})
        assert await settings.text("ldap_url") == "ldaps://new.example.com"
        await settings.update(JANE, {"ldap_base_dn": "dc=example,dc=org", "ldap_url": "ldaps://new.example.com"})

    run(work)


def test_a_mode_comes_together_with_what_it_needs_and_keeps_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        settings = Settings(rig.database, {})
        with pytest.raises(InvalidInput, match="needs ldap_url and ldap_base_dn"):
            await settings.update(JANE, {"auth_mode": "ldap_auth"})
        await settings.update(JANE, {"auth_mode": "ldap_auth", **LDAP})
        assert await settings.text("auth_mode") == "ldap_auth"
        with pytest.raises(InvalidInput, match="needs ldap_base_dn"):
            await settings.update(JANE, {"ldap_base_dn": ""})
        with pytest.raises(InvalidInput, match="uaa_auth and http_auth are not there"):
            await settings.update(JANE, {"auth_mode": "http_auth"})

    run(work)


def test_everything_sealed_gets_under_another_key(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        old, new = new_key(), new_key()
        await Settings(rig.database, {}, SecretBox(keys=old)).update(
            JANE, {"oidc_client_secret": "one", "ldap_search_password": "two", "session_timeout": 5}
        )
        both = SecretBox(keys=f"{new},{old}")
        assert await rig.database.write(lambda tx: store.reseal(tx, both.reseal)) == 2
        settings = Settings(rig.database, {}, SecretBox(keys=new))
        assert await settings.text("oidc_client_secret") == "one"
        assert await settings.text("ldap_search_password") == "two"
        assert await settings.number("session_timeout") == 5

    run(work)
