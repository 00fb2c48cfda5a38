"""The page made from an OpenAPI document."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.web.reference import render_reference

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "wbr"}


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.targets.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def media(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "2.0", "description": "First.\n\n- `one`\n- two"},
    "servers": [{"url": "/api/v2.0"}],
    "tags": [{"name": "project", "description": "Tenants."}, {"name": "empty"}],
    "paths": {
        "/later": {"get": {"summary": "Untagged", "responses": {"204": {"description": "Done."}}}},
        "/projects/{name}": {
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "getProject",
                "tags": ["project"],
                "summary": "One project",
                "x-permission": "project:read",
                "parameters": [{"$ref": "#/components/parameters/page"}],
                "responses": {
                    "200": {"description": "It.", "headers": {"ETag": {}}, "content": media(ref("Project"))},
                    "404": {"$ref": "#/components/responses/NotFound"},
                },
            },
            "put": {
                "operationId": "getProject",
                "tags": ["project"],
                "deprecated": True,
                "requestBody": {"required": True, "content": media({"type": "array", "items": ref("Project")})},
            },
        },
    },
    "components": {
        "parameters": {
            "page": {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1, "minimum": 1}}
        },
        "responses": {"NotFound": {"description": "There is none."}},
        "schemas": {
            "Project": {
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer", "format": "int64"},
                    "owner": {"anyOf": [ref("User"), {"type": "null"}]},
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    "inner": {"type": "object", "properties": {"deep": {"type": ["string", "null"]}}},
                    "level": {"enum": ["low", "high"]},
                },
            },
            "User": {"type": "object", "description": "A person."},
            "Names": {"type": "array", "items": {"type": "string"}},
        },
    },
}


def read(document: dict[str, Any]) -> Page:
    return Page(render_reference(document, "The API"))


def test_the_page_says_what_the_document_says() -> None:
    words = read(DOCUMENT).words
    for part in (
        "Version 2.0 · at / api/ v2.0 · 3 operations, 3 schemas",
        "Tenants.",
        "One project Permission project:read Parameters",
        "name string path required",
        "page integer query",
        "default 1 , least 1",
        "application/json Project",
        "There is none.",
        "Headers ETag",
        "application/json array of Project",
        "Deprecated",
        "integer (int64)",
        "User or null",
        "map of string",
        "deep string or null",
        '"low" or "high"',
        "A person.",
        "array of string",
    ):
        assert part in words, part


def test_every_link_leads_to_one_place_on_the_page() -> None:
    page = read(DOCUMENT)
    assert len(page.ids) == len(set(page.ids))
    assert all(target.startswith("#") and target[1:] in page.ids for target in page.targets)
    assert {"getProject", "getProject-2", "get-later", "schema-Project", "tag-project", "tag-other"} <= set(page.ids)


def test_names_that_would_share_an_anchor_get_two() -> None:
    operation = {"operationId": "content", "tags": ["a b", "x"], "responses": {}}
    page = read(
        {
            "paths": {"/a": {"get": operation, "put": operation | {"tags": ["a/b"], "operationId": "schema-A"}}},
            "components": {"schemas": {"A": {}, "A!": {}, "é": {}}},
        }
    )
    assert len(page.ids) == len(set(page.ids))
    assert all(target[1:] in page.ids for target in page.targets)


def test_a_tag_without_operations_is_left_out_and_the_order_is_the_document_s() -> None:
    page = read(DOCUMENT)
    assert "empty" not in page.words
    assert page.ids.index("tag-project") < page.ids.index("tag-other")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = render_reference(DOCUMENT, "The API").decode()
    page = Page(html.encode())
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not {name for name in page.attributes if name.startswith("on") or name in {"src", "style"}}
    for outside in ("http:", "https:", "@import", "url(", "//"):
        assert outside not in html


def test_it_is_fit_for_a_phone_and_for_the_dark() -> None:
    html = render_reference(DOCUMENT, "The API").decode()
    assert 'name="viewport"' in html
    assert "prefers-color-scheme:dark" in html
    assert html.startswith("<!doctype html>")
    assert '<html lang="en">' in html


def poisoned(value: Any) -> Any:
    """``value`` with every text in it made hostile, but for what gives the document its shape."""
    shape = {"$ref", "in", "type", "openapi"}
    if isinstance(value, dict):
        return {key: inner if key in shape else poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return value + EVIL if isinstance(value, str) else value


def test_whatever_the_document_holds_is_escaped() -> None:
    document = poisoned(DOCUMENT)
    document["paths"] = {path + EVIL: item for path, item in document["paths"].items()}
    document["paths"][EVIL] = {"get": {"responses": {EVIL: {"headers": {EVIL: {}}, "content": {EVIL: {"schema": {}}}}}}}
    document["components"]["schemas"][EVIL] = {"properties": {EVIL: {"type": EVIL, "format": EVIL, "pattern": EVIL}}}
    page = Page(render_reference(document, EVIL))
    assert "script" not in page.tags
    assert b"<script" not in render_reference(document, EVIL)
    assert "alert(1)" in page.words
    assert page.attributes <= {
        "lang", "charset", "name", "content", "class", "id", "href", "aria-label", "aria-labelledby"
    }  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"paths": None, "components": [], "info": "x", "servers": {}, "tags": "x"},
        {
            "paths": {
                "/a": None,
                "/b": {"get": "x"},
                "/c": {"get": {"parameters": "x", "responses": [], "tags": [None]}},
            }
        },
        {"paths": {"/a": {"get": {"parameters": [None, {"$ref": "#/nowhere"}, {"$ref": 3}], "requestBody": 3}}}},
        {"components": {"schemas": {"A": True, "B": ref("A"), "C": {"type": None, "items": 3, "enum": [None, {}]}}}},
        {"components": {"schemas": {"A": {"properties": {"a": {"allOf": [ref("Gone"), 3]}}}}}},
    ],
)
def test_a_document_with_mistakes_still_makes_a_page(document: dict[str, Any]) -> None:
    read(document)


def test_a_circle_of_references_ends() -> None:
    circle: dict[str, Any] = {"type": "array"}
    circle["items"] = circle
    a, b = {"$ref": "#/components/parameters/b"}, {"$ref": "#/components/parameters/a"}
    page = read(
        {
            "paths": {"/a": {"get": {"parameters": [a], "requestBody": {"content": media(circle)}}}},
            "components": {"parameters": {"a": a, "b": b}, "schemas": {"A": circle}},
        }
    )
    assert "array of array of" in page.words


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "items",
                    "properties",
                    "anyOf",
                    "enum",
                    "$ref",
                    "description",
                    "schema",
                    "name",
                    "in",
                    "content",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(values, values, values, st.text(max_size=20))
def test_any_document_makes_a_well_formed_page(schema: Any, parameter: Any, body: Any, title: str) -> None:
    operation = {"parameters": [parameter], "requestBody": body, "responses": {"200": body}, "description": title}
    Page(
        render_reference({"paths": {f"/{title}": {"get": operation}}, "components": {"schemas": {"A": schema}}}, title)
    )
