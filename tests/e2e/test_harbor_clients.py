"""harborapi, a Python library for Harbor, unchanged: the whole life of a project, and the lists that it walks."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from tests.e2e.clients import Tool, skip_or_fail
from tests.e2e.images import Layout
from tests.e2e.registry import Registry

GIBIBYTE = 1 << 30
DEVELOPER, MAINTAINER = 2, 4
LIFE, MEMBER = "harborapi-life", "harborapi-life-jane"
PULL_AND_PUSH = [{"resource": "repository", "action": "pull"}, {"resource": "repository", "action": "push"}]

Harbor = Callable[[Callable[[Any], Awaitable[None]]], None]
"""Runs what is done with one client of the library."""


@pytest.fixture(scope="module")
def library() -> ModuleType:
    try:
        return importlib.import_module("harborapi")
    except ImportError:
        skip_or_fail("harborapi is not installed: pip install -e .[dev]")


@pytest.fixture
def harbor(library: ModuleType, registry: Registry) -> Harbor:
    """The administrator, as the library knows them; what the library says to wait for is waited for."""
    server = registry.server

    def run(work: Callable[[Any], Awaitable[None]]) -> None:
        async def session() -> None:
            client = library.HarborAsyncClient(
                url=f"{server.url}/api/v2.0", username=server.user, secret=server.password, retry=None
            )
            async with client.client:
                await work(client)

        asyncio.run(session())

    return run


@pytest.fixture
def words(library: ModuleType) -> ModuleType:
    """The library's models."""
    return importlib.import_module(f"{library.__name__}.models")


class Life:
    """A project that one client of the library leads: each step stands on those before it."""

    def __init__(self, client: Any, words: ModuleType, registry: Registry, skopeo: Tool, image: Layout) -> None:
        self.client = client
        self.words = words
        self.registry = registry
        self.skopeo = skopeo
        self.image = image
        self.project_id = self.label_id = 0
        self.robot: Any = None

    async def begin(self) -> None:
        """A project with a member."""
        client, words = self.client, self.words
        wanted = words.ProjectReq(project_name=LIFE, metadata={"public": "false"}, storage_limit=GIBIBYTE)
        assert await client.create_project(wanted) == f"/api/v2.0/projects/{LIFE}"
        assert await client.project_exists(LIFE)
        made = await client.get_project(LIFE)
        assert (made.name, made.metadata.public, made.current_user_role_id) == (LIFE, "false", 1)
        self.project_id = made.project_id
        person = words.UserCreationReq(
            username=MEMBER, email=f"{MEMBER}@example.com", realname="Jane", password="Passw0rd1"
        )
        await client.create_user(person)
        where = await client.add_project_member_user(LIFE, MEMBER, DEVELOPER)
        await client.update_project_member_role(LIFE, int(where.rpartition("/")[2]), MAINTAINER)
        members = {(member.entity_name, member.role_id) for member in await client.get_project_members(LIFE)}
        assert members == {("admin", 1), (MEMBER, MAINTAINER)}

    async def push(self) -> None:
        """A robot of the project pushes, only there, and only with its present secret."""
        permission = {"kind": "project", "namespace": LIFE, "access": PULL_AND_PUSH}
        wanted = self.words.RobotCreate(name="ci", level="project", duration=-1, permissions=[permission])
        self.robot = await self.client.create_robot(wanted)
        assert self.robot.name == f"robot${LIFE}+ci"
        await asyncio.to_thread(self.skopeo, *self._copying("team/app"))
        refusal = await asyncio.to_thread(self.skopeo.refused, *self._copying("app", project="elsewhere"))
        assert "403" in refusal or "denied" in refusal, refusal
        secret = (await self.client.refresh_robot_secret(self.robot.id, "")).secret
        assert secret
        assert secret != self.robot.secret
        await asyncio.to_thread(self.skopeo.refused, *self._copying("team/app"))
        self.robot.secret = secret
        await asyncio.to_thread(self.skopeo, *self._copying("team/app"))

    async def look(self) -> None:
        """What was pushed, under a name with a slash, which the library encodes twice."""
        client, name = self.client, "team/app"
        shown = {"with_label": True, "with_accessory": True, "with_scan_overview": True, "with_immutable_status": True}
        [artifact] = await client.get_artifacts(LIFE, name, query="tags=1.0", **shown)
        assert (artifact.digest, artifact.type) == (self.image.root, "IMAGE")
        assert [tag.name for tag in artifact.tags] == ["1.0"]
        assert (await client.get_artifact(LIFE, name, self.image.root)).id == artifact.id
        await client.create_artifact_tag(LIFE, name, "1.0", self.words.Tag(name="latest"))
        tags = await client.get_artifact_tags(LIFE, name, self.image.root)
        assert {tag.name for tag in tags} == {"1.0", "latest"}
        await client.delete_artifact_tag(LIFE, name, "1.0", "latest")

    async def change(self) -> None:
        """A label, a copy, the quota, and what the log says of all that."""
        client, words = self.client, self.words
        label = words.Label(name="shipped", color="#0065AB", scope="p", project_id=self.project_id)
        self.label_id = int((await client.create_label(label)).rpartition("/")[2])
        await client.add_artifact_label(LIFE, "team/app", "1.0", await client.get_label(self.label_id))
        found = await client.get_artifacts(LIFE, "team/app", query=f"labels=({self.label_id})", with_label=True)
        assert [[put_on.name for put_on in artifact.labels] for artifact in found] == [["shipped"]]
        await client.copy_artifact(LIFE, "archive/app", f"{LIFE}/team/app:1.0")
        assert self.registry.manifest(f"{LIFE}/archive/app", "1.0").digest == self.image.root
        [quota] = await client.get_quotas(reference="project", reference_id=str(self.project_id))
        assert quota.hard.root == {"storage": GIBIBYTE}
        assert 0 < quota.used.root["storage"] < GIBIBYTE
        await client.update_quota(quota.id, words.QuotaUpdateReq(hard={"storage": 2 * GIBIBYTE}))
        assert (await client.get_project_summary(LIFE)).quota.hard.root == {"storage": 2 * GIBIBYTE}
        done = {(log.resource_type, log.operation) for log in await client.get_project_logs(LIFE, page_size=50)}
        assert {("project", "create"), ("artifact", "create"), ("robot", "create"), ("quota", "update")} <= done

    async def end(self, too_early: type[Exception]) -> None:
        """In the only order that is allowed."""
        client = self.client
        assert not (await client.get_project_deletable(LIFE)).deletable
        with pytest.raises(too_early):
            await client.delete_project(LIFE)
        await client.delete_artifact(LIFE, "archive/app", "1.0")
        for name in ("archive/app", "team/app"):
            await client.delete_repository(LIFE, name)
        await client.delete_label(self.label_id)
        await client.delete_robot(self.robot.id)
        await client.delete_project(LIFE)
        assert not await client.project_exists(LIFE)
        await client.delete_user((await client.get_user_by_username(MEMBER)).user_id)

    def _copying(self, name: str, project: str = "") -> list[str]:
        """skopeo's words for a push with the robot's credentials, whose name holds `$` and `+`."""
        credentials = ["--dest-creds", f"{self.robot.name}:{self.robot.secret}", "--dest-tls-verify=false"]
        return ["copy", *credentials, self.image.reference, self.registry.url(f"{project or LIFE}/{name}", "1.0")]


def test_harborapi_leads_a_project_from_its_first_day_to_its_last(
    harbor: Harbor, library: ModuleType, words: ModuleType, registry: Registry, skopeo: Tool, tiny: Layout
) -> None:
    async def work(client: Any) -> None:
        life = Life(client, words, registry, skopeo, tiny)
        await life.begin()
        await life.push()
        await life.look()
        await life.change()
        await life.end(too_early=library.exceptions.PreconditionFailed)

    harbor(work)


def test_harborapi_reads_all_that_it_knows_of_the_system(harbor: Harbor, words: ModuleType) -> None:
    async def work(client: Any) -> None:
        assert await client.ping() == "Pong"
        assert (await client.health_check()).status == "healthy"
        assert (await client.get_system_info()).auth_mode == "db_auth"
        assert (await client.get_system_volume_info()).storage[0].total > 0
        assert (await client.get_statistics()).total_project_count >= 1
        assert (await client.get_config()).auth_mode.value == "db_auth"
        assert (await client.get_current_user()).username == "admin"
        assert len((await client.get_permissions()).project) > 1
        assert await client.get_current_user_permissions("/project/1")
        where = await client.create_usergroup(words.UserGroup(group_name="harborapi-group", group_type=2))
        assert [group.group_name for group in await client.search_usergroups("harborapi-gr")] == ["harborapi-group"]
        await client.delete_usergroup(int(where.rpartition("/")[2]))

    harbor(work)


def test_harborapi_walks_a_list_by_its_links(harbor: Harbor, words: ModuleType) -> None:
    names = [f"harborapi-walk-{n:02}" for n in range(7)]

    async def work(client: Any) -> None:
        for name in names:
            await client.create_project(words.ProjectReq(project_name=name))
        found = await client.get_projects(query="name=~harborapi-walk", sort="name", page_size=2)
        assert [project.name for project in found] == names
        for name in names:
            await client.delete_project(name)

    harbor(work)


def test_harborapi_reads_and_changes_a_single_metadata(harbor: Harbor, words: ModuleType, project: str) -> None:
    async def work(client: Any) -> None:
        await client.create_project(words.ProjectReq(project_name=project))
        # the library leaves out the slash with which Harbor writes this path
        await client.set_project_metadata(project, words.ProjectMetadata(auto_scan="true"))
        assert (await client.get_project_metadata(project)).auto_scan == "true"
        await client.update_project_metadata_entry(project, "auto_scan", {"auto_scan": "false"})
        assert await client.get_project_metadata_entry(project, "auto_scan") == {"auto_scan": "false"}
        await client.delete_project_metadata_entry(project, "auto_scan")
        await client.delete_project(project)

    harbor(work)
