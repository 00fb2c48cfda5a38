"""Lists of artifacts and repositories over REST: what they hold, what they cost, whom they show it to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from entrepot.web.api import RestApi
from tests.integration.registry.shelf import CHART_CONFIG, CHART_LAYER, Shelf, Shelves, owner, robot
from tests.integration.rig import index


@pytest.fixture
def shelf(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


async def _multi_platform(shelf: Shelf, name: str, tag: str) -> tuple[str, list[str]]:
    children = [await shelf.image(name, "", text) for text in ("amd", "arm")]
    entries: list[dict[str, Any]] = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": 10,
            "platform": {"os": "linux", "architecture": architecture, "os.version": "1", "bogus": [[]]},
        }
        for digest, architecture in zip(children, ("amd64", "arm64"), strict=True)
    ]
    return await shelf.rig.push(name, tag, index(entries, annotations={"made": "here"})), children


def test_an_artifact_has_the_fields_of_harbor(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        project_id = await shelf.project("team")
        config = {
            "created": "2026-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=1"], "Labels": {"maintainer": "me"}},
            "history": [{"created_by": "RUN true"}],
        }
        digest = await shelf.image("team/web/app", "v1", config=config, annotations={"a": "b"})
        async with shelf.client() as client:
            answer = await client.get("/projects/team/repositories/web%252Fapp/artifacts?with_label=true")
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-total-count"] == "1"
            (found,) = answer.json()
            one = (
                await client.get(f"/projects/team/repositories/web%252Fapp/artifacts/{digest}?with_label=true")
            ).json()
        assert one == found
        assert found["type"] == "IMAGE"
        assert found["media_type"] == found["artifact_type"] == "application/vnd.oci.image.config.v1+json"
        assert found["manifest_media_type"] == "application/vnd.oci.image.manifest.v1+json"
        assert found["project_id"] == project_id
        assert found["repository_name"] == "team/web/app"
        assert found["digest"] == digest
        assert found["annotations"] == {"a": "b"}
        assert found["extra_attrs"] == {
            "created": "2026-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=1"], "Labels": {"maintainer": "me"}},
            "author": "me",
        }
        assert [tag["name"] for tag in found["tags"]] == ["v1"]
        assert found["labels"] == []
        assert found["addition_links"] == {
            "build_history": {
                "href": f"/api/v2.0/projects/team/repositories/web%252Fapp/artifacts/{digest}/additions/build_history",
                "absolute": False,
            }
        }
        assert "pull_time" not in found
        assert found["push_time"].endswith("Z")

    shelf(work)


def test_a_page_costs_the_same_few_statements_however_many_artifacts_it_shows(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        await _multi_platform(shelf, "team/app", "multi")
        for number in range(25):
            subject = await shelf.image("team/app", f"v{number}", str(number))
            if number % 5 == 0:
                await shelf.image(
                    "team/app",
                    "",
                    f"about {number}",
                    subject={"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1},
                )
        flags = "with_tag=true&with_label=true&with_accessory=true"
        costs = []
        async with shelf.client() as client:
            await client.get("/projects/team/repositories/app/artifacts")
            shelf.count_statements()
            for size in (1, 10, 100):
                before = shelf.statements
                answer = await client.get(f"/projects/team/repositories/app/artifacts?page_size={size}&{flags}")
                assert answer.status_code == 200
                costs.append(shelf.statements - before)
            before = shelf.statements
            everywhere = await client.get(f"/projects/team/artifacts?page_size=100&{flags}")
            costs.append(shelf.statements - before)
        assert len(answer.json()) == len(everywhere.json()) == 26
        assert sum(len(item["accessories"]) for item in answer.json()) == 5
        assert max(costs) <= 10, costs

    shelf(work)


def test_an_index_shows_its_children_and_the_list_shows_them_only_with_base(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        digest, children = await _multi_platform(shelf, "team/app", "multi")
        url = "/projects/team/repositories/app/artifacts"
        async with shelf.client() as client:
            (found,) = (await client.get(url)).json()
            everything = (await client.get(f"{url}?q=base%3D*")).json()
            refused = await client.get(f"{url}?q=base%3Dall")
        assert found["digest"] == digest
        assert [reference["child_digest"] for reference in found["references"]] == children
        ids = {item["digest"]: item["id"] for item in everything}
        assert [reference["child_id"] for reference in found["references"]] == [ids[digest] for digest in children]
        assert found["references"][1]["platform"] == {"os": "linux", "architecture": "arm64", "'os.version'": "1"}
        assert {item["digest"] for item in everything} == {digest, *children}
        assert "addition_links" not in found
        assert refused.status_code == 400

    shelf(work)


def test_the_special_filters_are_those_of_harbor(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        project_id = await shelf.project("team")
        one = await shelf.image("team/app", "stable-1", "1")
        two = await shelf.image("team/app", "edge", "2")
        three = await shelf.image("team/app", "", "3")
        await shelf.image("team/other", "stable-1", "4")
        first, second = await shelf.label("first"), await shelf.label("second", project_id)
        async with shelf.client() as client:
            url = "/projects/team/repositories/app/artifacts"
            for digest, ids in ((one, (first, second)), (two, (first,))):
                for id_ in ids:
                    assert (await client.post(f"{url}/{digest}/labels", json={"id": id_})).status_code == 200

            async def ask(q: str, url: str = url) -> set[str]:
                answer = await client.get(url, params={"q": q})
                assert answer.status_code == 200, answer.text
                digests = [item["digest"] for item in answer.json()]
                assert answer.headers["x-total-count"] == str(len(digests))
                return set(digests)

            assert await ask("tags=*") == {one, two}
            assert await ask("tags=nil") == {three}
            assert await ask("tags=edge") == {two}
            assert await ask("tags=~stable") == {one}
            assert await ask("tags=~%") == set()
            assert await ask("tags={edge stable-1}") == {one, two}
            assert await ask(f"labels=({first} {second})") == {one}
            assert await ask(f"labels=({first})") == {one, two}
            assert await ask("labels=(999)") == set()
            assert await ask(f"digest={two}") == {two}
            assert await ask(f"digest=~{two[9:20]}") == {two}
            assert await ask(f"digest=~{two[:20]}") == {two}
            assert await ask("type=IMAGE,tags=edge") == {two}
            assert await ask("push_time=[2000-01-01T00:00:00~2000-01-02T00:00:00]") == set()
            assert await ask("push_time=[2000-01-01T00:00:00~]") == {one, two, three}
            assert await ask("repository_name=~app") == {one, two, three}
            assert len(await ask("tags=stable-1", "/projects/team/artifacts")) == 2
            assert await ask("tags=edge", "/projects/team/artifacts") == {two}

    shelf(work)


@pytest.mark.parametrize(
    "q",
    [
        "labels=(x)",
        "labels=~1",
        "labels=(99999999999999999999)",
        "labels=",
        "tags=[a~b]",
        "tags=(a b)",
        "digest=sha256:zz",
        "digest=[a~b]",
        "nothing=1",
        "size=big",
        "push_time=yesterday",
        "id=99999999999999999999",
        "base=(*)",
        "tags=~\x00",
        "type=\x00",
        "labels=()",
        "tags={}",
    ],
)
def test_what_a_filter_does_not_know_is_a_bad_request(shelf: Shelves, q: str) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        await shelf.image("team/app", "v1")
        async with shelf.client() as client:
            for url in ("/projects/team/repositories/app/artifacts", "/projects/team/artifacts"):
                answer = await client.get(url, params={"q": q})
                assert answer.status_code == 400, answer.text
                assert answer.json()["errors"][0]["message"]

    shelf(work)


def test_sorting_by_anything_gives_the_same_rows_page_by_page(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        for number in range(7):
            await shelf.image("team/app", f"v{number}", "x" * number)
        async with shelf.client() as client:
            url = "/projects/team/repositories/app/artifacts"
            for sort in (
                "",
                "push_time",
                "-push_time",
                "size",
                "-size",
                "pull_time",
                "digest",
                "-type,size",
                "id",
                "-id",
            ):
                whole = (await client.get(url, params={"sort": sort, "page_size": 100})).json()
                pages = []
                for page in range(1, 6):
                    answer = await client.get(url, params={"sort": sort, "page": page, "page_size": 2})
                    assert answer.headers["x-total-count"] == "7"
                    pages += answer.json()
                assert [item["id"] for item in pages] == [item["id"] for item in whole], sort
            sizes = [item["size"] for item in (await client.get(url, params={"sort": "size"})).json()]
            assert sizes == sorted(sizes)
            assert (await client.get(url, params={"sort": "nothing"})).status_code == 400
            assert (await client.get(url, params={"sort": "nothing", "page": 99})).status_code == 400

    shelf(work)


def test_the_latest_of_each_repository(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        newest = []
        for repository in ("one", "two"):
            for number in range(3):
                last = await shelf.image(f"team/{repository}", f"v{number}", f"{repository}{number}")
            newest.append(last)
        async with shelf.client() as client:
            url = "/projects/team/artifacts?latest_in_repository=true"
            media_type = "media_type=application/vnd.oci.image.config.v1+json"
            answer = await client.get(url, params={"q": media_type, "latest_in_repository": "true"})
            assert {item["digest"] for item in answer.json()} == set(newest)
            assert answer.headers["x-total-count"] == "2"
            assert (await client.get(url)).status_code == 400

    shelf(work)


def test_patterns_of_grants_limit_every_list(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        one, two = await shelf.project("team"), await shelf.project("other")
        paths = ("backend/api", "backend/api/deep", "backend-old", "frontend/web", "a_b", "axb")
        for path in paths:
            await shelf.image(f"team/{path}", "v1", path)
        await shelf.image("other/app", "v1")

        async def seen(*patterns: str) -> set[str]:
            shelf.gate.caller = robot(one, *patterns)
            names: list[set[str]] = []
            async with shelf.client() as client:
                for url in ("/projects/team/repositories", "/repositories"):
                    answer = await client.get(url, params={"page_size": 100})
                    assert answer.headers["x-total-count"] == str(len(answer.json()))
                    names.append({item["name"] for item in answer.json()})
                artifacts = (await client.get("/projects/team/artifacts", params={"page_size": 100})).json()
                names.append({item["repository_name"] for item in artifacts})
                found = (await client.get("/search", params={"q": ""})).json()
                names.append({item["repository_name"] for item in found["repository"]})
            assert all(each == names[0] for each in names), names
            return {name.removeprefix("team/") for name in names[0]}

        assert await seen() == set(paths)
        assert await seen("backend/*") == {"backend/api"}
        assert await seen("backend/**") == {"backend/api", "backend/api/deep"}
        assert await seen("backend*") == {"backend-old"}
        assert await seen("a_*") == {"a_b"}
        assert await seen("frontend/web", "axb") == {"frontend/web", "axb"}
        assert await seen("nothing/**") == set()
        assert await seen("**") == set(paths)
        assert await seen(*(f"p{number}/*" for number in range(1500)), "axb") == {"axb"}
        shelf.gate.caller = robot(two)
        async with shelf.client() as client:
            assert (await client.get("/projects/team/repositories")).json() == []
            assert (await client.get("/projects/team/artifacts")).json() == []

    shelf(work)


def test_a_list_over_very_many_projects_shows_only_these(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        from entrepot.access.model import Places  # noqa: PLC0415
        from entrepot.kit.listing import Listing  # noqa: PLC0415
        from entrepot.registry.listing.scope import in_places  # noqa: PLC0415

        one, two = await shelf.project("one"), await shelf.project("two")
        await shelf.image("one/app", "v1")
        await shelf.image("two/app", "v1")
        for mine, name in ((one, "one/app"), (two, "two/app"), (one, "one/app")):
            many = Places(projects=dict.fromkeys((mine, *range(1000, 40000)), (None,)))
            found, total = await shelf.lists._list(in_places(many), Listing())
            assert [item.name for item in found] == [name]
            assert total == 1

    shelf(work)


def test_repositories_show_counts_and_only_those_that_hold_manifests(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        project_id = await shelf.project("team")
        await _multi_platform(shelf, "team/web/app", "v1")
        await shelf.image("team/web/app", "v2")
        await shelf.rig.push_blob("team/only-blobs", b"bytes")
        async with shelf.client() as client:
            (found,) = (await client.get("/projects/team/repositories")).json()
            assert found["name"] == "team/web/app"
            assert found["project_id"] == project_id
            assert found["artifact_count"] == 2
            assert found["pull_count"] == 0
            url = "/projects/team/repositories/web%252Fapp"
            assert (await client.put(url, json={"description": "Ours <b>"})).status_code == 200
            assert (await client.get(url)).json()["description"] == "Ours <b>"
            assert len((await client.get("/repositories?q=name%3D~web%2Fa")).json()) == 1
            assert (await client.get("/repositories?q=name%3D~nothing")).json() == []
            assert (await client.get("/projects/nothing/repositories")).status_code == 404
            assert (await client.get("/projects/team/repositories/nothing")).status_code == 404
            assert (await client.get("/projects/team/repositories/UPPER")).status_code == 400
            assert (await client.get("/projects/team/repositories/nothing/artifacts")).status_code == 404
            assert (await client.delete(url)).status_code == 200
            assert (await client.get(url)).status_code == 404
        assert (
            "repository: repository:read",
            {"project_name": "team", "repository_name": "web/app"},
        ) in shelf.gate.asked

    shelf(work)


def test_names_with_slashes_work_encoded_once_and_twice(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        digest = await shelf.image("team/a/artifacts/b", "v1")
        async with shelf.client() as client:
            for path in ("a%252Fartifacts%252Fb", "a%2Fartifacts%2Fb", "a/artifacts/b"):
                for more in ("artifacts", f"artifacts/{digest}", "artifacts/v1/tags", "artifacts/v1/accessories"):
                    answer = await client.get(f"/projects/team/repositories/{path}/{more}")
                    assert answer.status_code == 200, (path, more, answer.text)

    shelf(work)


def test_accessories_hang_on_their_subject_and_stand_in_no_list(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        subject = await shelf.image("team/app", "v1")
        signature = await shelf.image("team/app", f"{subject.replace(':', '-')}.sig", "signature")
        about = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1}
        sbom = await shelf.image("team/app", "", "sbom", subject=about, artifactType="application/vnd.acme.sbom")
        async with shelf.client() as client:
            url = "/projects/team/repositories/app/artifacts"
            (found,) = (await client.get(f"{url}?with_accessory=true")).json()
            assert found["digest"] == subject
            assert {item["digest"]: item["type"] for item in found["accessories"]} == {
                signature: "signature.cosign",
                sbom: "subject.accessory",
            }
            listed = await client.get(f"{url}/v1/accessories?page_size=1&q=type%3Dsignature.cosign")
            assert listed.headers["x-total-count"] == "1"
            (one,) = listed.json()
            assert one["digest"] == signature
            assert one["subject_artifact_digest"] == subject
            assert one["subject_artifact_repo"] == "team/app"
            assert one["artifact_id"] == one["id"]
            assert one["subject_artifact_id"] == found["id"]
            assert "accessories" not in (await client.get(f"{url}/v1")).json()

    shelf(work)


def test_tags_are_made_listed_and_deleted(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        one = await shelf.image("team/app", "v1", "1")
        await shelf.image("team/app", "v2", "2")
        async with shelf.client() as client:
            url = f"/projects/team/repositories/app/artifacts/{one}/tags"
            assert (await client.post(url, json={"name": "latest"})).status_code == 201
            assert (await client.post(url, json={"name": "latest"})).status_code == 409
            assert (await client.post(url, json={"name": "v2"})).status_code == 409
            assert (await client.post(url, json={"name": "-bad"})).status_code == 400
            assert (await client.post(url, json={"name": ""})).status_code == 422
            tags = await client.get(f"{url}?sort=name&with_immutable_status=true")
            assert [tag["name"] for tag in tags.json()] == ["latest", "v1"]
            assert tags.headers["x-total-count"] == "2"
            assert len({tag["id"] for tag in tags.json()}) == 2
            assert [tag["name"] for tag in (await client.get(f"{url}?q=name%3D~lat")).json()] == ["latest"]
            assert (await client.delete(f"{url}/v2")).status_code == 404
            assert (await client.delete(f"{url}/nothing")).status_code == 404
            assert (await client.delete(f"{url}/latest")).status_code == 200
            assert [tag["name"] for tag in (await client.get(url)).json()] == ["v1"]

    shelf(work)


def test_deleting_by_tag_deletes_the_artifact_that_it_names(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        one = await shelf.image("team/app", "v1", "1")
        async with shelf.client() as client:
            url = "/projects/team/repositories/app/artifacts"
            assert (await client.delete(f"{url}/v1")).status_code == 200
            assert (await client.get(f"{url}/{one}")).status_code == 404
            assert (await client.delete(f"{url}/v1")).status_code == 404
            assert (await client.delete(f"{url}/sha256:xyz")).status_code == 400
            assert (await client.get(f"{url}/" + "x" * 600)).status_code == 422

    shelf(work)


def test_copies_go_to_another_repository_with_their_tag(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        await shelf.project("other")
        digest = await shelf.image("team/web/app", "v1")
        async with shelf.client() as client:
            url = "/projects/other/repositories/x%252Fy/artifacts"
            answer = await client.post(url, params={"from": "team/web/app:v1"})
            assert answer.status_code == 201, answer.text
            assert answer.headers["location"] == "/api/v2.0/projects/other/repositories/x%252Fy/artifacts/v1"
            assert (await client.get(f"{url}/v1")).json()["digest"] == digest
            answer = await client.post(url, params={"from": f"team/web/app@{digest}"})
            assert answer.headers["location"].endswith(f"/artifacts/{digest}")
            for bad in ("team/web/app", "app:v1", "team/app@x", "team/app:", "", "team/app:a b"):
                assert (await client.post(url, params={"from": bad})).status_code == 400, bad
            assert (await client.post(url, params={"from": "team/web/app:nothing"})).status_code == 404
            assert (await client.post(url)).status_code == 422

    shelf(work)


def test_labels_must_be_global_or_of_the_same_project(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        mine, other = await shelf.project("team"), await shelf.project("other")
        digest = await shelf.image("team/app", "v1")
        ours, theirs, everyones = await shelf.label("x", mine), await shelf.label("x", other), await shelf.label("x")
        shelf.gate.caller = owner(mine)
        async with shelf.client() as client:
            url = "/projects/team/repositories/app/artifacts/v1"
            assert (await client.post(f"{url}/labels", json={"id": theirs})).status_code == 404
            assert (await client.post(f"{url}/labels", json={"id": 2**53})).status_code == 404
            assert (await client.post(f"{url}/labels", json={"id": -1})).status_code == 422
            assert (await client.post(f"{url}/labels", json={})).status_code == 422
            assert (await client.post(f"{url}/labels", json={"id": ours})).status_code == 200
            refused = await client.post(f"{url}/labels", json={"id": ours})
            assert refused.status_code == 409
            assert refused.json()["errors"][0]["code"] == "CONFLICT"
            assert (await client.post(f"{url}/labels", json={"id": everyones})).status_code == 200
            labels = (await client.get(f"{url}?with_label=true")).json()["labels"]
            assert [(label["id"], label["scope"], label["project_id"]) for label in labels] == [
                (ours, "p", mine),
                (everyones, "g", 0),
            ]
            assert (await client.delete(f"{url}/labels/{ours}")).status_code == 200
            assert (await client.delete(f"{url}/labels/{ours}")).status_code == 404
        told = [event for event in await shelf.rig.events() if event["kind"].startswith("Artifact")]
        assert [event["kind"] for event in told] == ["ArtifactLabelled", "ArtifactLabelled", "ArtifactUnlabelled"]
        assert told[0]["digest"] == digest
        assert told[0]["label"] == "x"

    shelf(work)


def test_hostile_documents_do_not_break_a_list(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        configs = [
            b"",
            b"null",
            b"[]",
            b"\xff\xfe",
            b'{"a":' * 500 + b"1" + b"}" * 500,
            b'{"config":{"Labels":[]},"author":[1],"created":1e999,"os":"\\ud800"}',
            b'{"config":{"Labels":{"maintainer":{}}},"author":{"a":99999999999999999999999999}}',
            b'{"architecture":"amd64"}' + b" " * (2 * 1024 * 1024),
        ]
        for number, config in enumerate(configs):
            await shelf.artifact("team/app", f"v{number}", config, b"layer")
            await shelf.artifact(
                "team/app", f"c{number}", config, b"layer", config_type=CHART_CONFIG, layer_type=CHART_LAYER
            )
        async with shelf.client() as client:
            answer = await client.get("/projects/team/repositories/app/artifacts?page_size=100")
            assert answer.status_code == 200, answer.text
            assert len(answer.json()) == 2 * len(configs)
            for number in range(len(configs)):
                url = f"/projects/team/repositories/app/artifacts/v{number}/additions/build_history"
                assert (await client.get(url)).status_code in {200, 400, 404}

    shelf(work)


def test_a_config_that_the_repository_does_not_hold_is_not_shown(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("secret")
        await shelf.project("team")
        digest = await shelf.image("secret/app", "v1", config={"architecture": "amd64", "os": "plan9"})
        payload = (await shelf.rig.manifests.get(shelf.rig.admin, _name("secret/app"), digest)).payload
        shelf.rig.manifests._options = type(shelf.rig.manifests._options)(sparse=True)
        await shelf.rig.push("team/app", "v1", payload)
        async with shelf.client() as client:
            seen = (await client.get("/projects/secret/repositories/app/artifacts/v1")).json()
            assert seen["extra_attrs"]["os"] == "plan9"
            hidden = (await client.get("/projects/team/repositories/app/artifacts/v1")).json()
            assert "extra_attrs" not in hidden
            url = "/projects/team/repositories/app/artifacts/v1/additions/build_history"
            assert (await client.get(url)).status_code == 404

    shelf(work)


def _name(text: str) -> Any:
    from entrepot.oci.name import parse_name  # noqa: PLC0415

    return parse_name(text)


def test_search_and_statistics_show_what_the_caller_may_see(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        mine = await shelf.project("team")
        await shelf.project("team-secret")
        await shelf.project("open-team", is_public=True)
        for name in ("team/app", "team/web", "team-secret/app", "open-team/app"):
            await shelf.image(name, "v1", name)
        async with shelf.client() as client:
            everything = (await client.get("/search?q=team")).json()
            assert len(everything["project"]) == 3
            assert len(everything["repository"]) == 4
            counts = (await client.get("/statistics")).json()
            assert counts["total_project_count"] >= 3
            assert counts["total_repo_count"] == 4
            assert counts["public_repo_count"] == 1
            assert counts["total_storage_consumption"] > 0
            shelf.gate.caller = robot(mine)
            found = (await client.get("/search?q=TEAM")).json()
            assert {item["name"] for item in found["project"]} >= {"team"}
            assert "team-secret" not in {item["name"] for item in found["project"]}
            assert {item["repository_name"] for item in found["repository"]} >= {"team/app", "team/web"}
            assert "team-secret/app" not in {item["repository_name"] for item in found["repository"]}
            (team,) = [item for item in found["project"] if item["name"] == "team"]
            assert team["repo_count"] == 2
            assert team["metadata"] == {"public": "false"}
            counts = (await client.get("/statistics")).json()
            assert counts["private_project_count"] == 1
            assert counts["private_repo_count"] == 2
            assert counts["total_project_count"] == counts["total_storage_consumption"] == 0
            shelf.gate.caller = shelf.rig.anonymous
            found = (await client.get("/search?q=%25")).json()
            assert found == {"project": [], "repository": []}
            found = (await client.get("/search?q=app")).json()
            assert {item["repository_name"] for item in found["repository"]} == {"open-team/app"}
            assert (await client.get("/search")).status_code == 422
            assert (await client.get("/search?q=%00")).status_code == 422

    shelf(work)


def test_icons_are_found_by_the_digests_that_artifacts_show(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        await shelf.image("team/app", "v1")
        async with shelf.client() as client:
            found = (await client.get("/projects/team/repositories/app/artifacts/v1")).json()
            icon = (await client.get(f"/icons/{found['icon']}")).json()
            assert icon["content-type"] == "image/svg+xml"
            assert icon["content"]
            assert (await client.get("/icons/sha256:0")).status_code == 404

    shelf(work)


def test_what_projects_ask_of_the_registry(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        one, two = await shelf.project("one"), await shelf.project("two")
        await _multi_platform(shelf, "one/app", "v1")
        await shelf.rig.push_blob("two/app", b"unnamed")
        assert await shelf.contents.repository_counts([one, two]) == {one: 1}
        assert await shelf.database.write(lambda tx: shelf.contents.is_empty(tx, two))
        assert not await shelf.database.write(lambda tx: shelf.contents.is_empty(tx, one))
        assert await shelf.contents.sizes(two) == (0, 7)
        logical, reclaimable = await shelf.contents.sizes(one)
        async with shelf.client() as client:
            (found,) = (await client.get("/projects/one/artifacts")).json()
        assert logical == found["size"]
        assert reclaimable == 0

    shelf(work)


def test_the_document_of_the_routes_is_valid_json(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        async with shelf.client() as client:
            app = client._transport.app  # type: ignore[attr-defined]
            assert app is not None
        document = RestApi("/api/v2.0", "t", "0", shelf.routes, shelf.gate).build().openapi()
        assert json.dumps(document)
        assert (
            "/api/v2.0/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}/tags"
            in document["paths"]
        )

    shelf(work)


def test_pages_and_counts_come_from_indexes_alone(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        project_id = await shelf.project("team")
        await shelf.image("team/app", "v1")
        asked = shelf.watch_statements()
        async with shelf.client() as client:
            await client.get("/projects/team/repositories/app/artifacts")
            await client.get("/projects/team/artifacts")
            shelf.gate.caller = robot(project_id, "app/**", "app")
            await client.get("/projects/team/artifacts")
        paging = [(text, values) for text, values in asked if "count(*)" in text or ":page_count" in text]
        assert len(paging) == 6
        for text, values in paging:
            plan = shelf.explain(text, values)
            assert any(
                "COVERING INDEX ix_manifests_listed (repository_id=? AND is_listed=?)" in line for line in plan
            ), plan
            assert not any(line.startswith("SCAN") for line in plan), plan
        assert any("path>" in line for line in shelf.explain(*paging[-1])), "patterns are ranges of an index"

    shelf(work)
