"""The reference of an API: one readable page made from its OpenAPI 3.1 document.

The page needs nothing but itself: no script, no font and no stylesheet from elsewhere. What the document says is
escaped everywhere; what it lacks or gets wrong is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec

_METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
_DEPTH = 4
"""How deep fields without a schema of their own are shown, and how many references are followed in a row."""
_LIMITS = {
    "default": "default",
    "minimum": "least",
    "maximum": "greatest",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "shortest",
    "maxLength": "longest",
    "minItems": "fewest",
    "maxItems": "most",
    "pattern": "pattern",
}


class Operation(msgspec.Struct, frozen=True):
    """One method of one path, and the anchor it is found by."""

    method: str
    path: str
    anchor: str
    tag: str
    shared: list[Any]
    """Parameters that stand at the path."""
    content: dict[str, Any]


def render_reference(document: dict[str, Any], title: str) -> bytes:
    """The page, in UTF-8, for an OpenAPI 3.1 ``document``; operations may carry ``x-permission``, a string."""
    page = _Page(document)
    return page.render(title).encode("utf-8", "replace")


class _Page:
    """One document on its way to HTML."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas = _mapping(_mapping(document.get("components")).get("schemas"))
        taken = {"content", "schemas"}
        self._anchors = {name: _anchor("schema-", name, taken) for name in self._schemas}
        self._tags = self._grouped(taken)
        self._tag_anchors = {tag: _anchor("tag-", tag, taken) for tag in self._tags}

    def render(self, title: str) -> str:
        info = _mapping(self._document.get("info"))
        facts = [f"Version {escape(_text(info['version']))}"] if info.get("version") else []
        servers = (_text(_mapping(server).get("url")) for server in _sequence(self._document.get("servers")))
        facts += [f"at <code>{_breakable(url)}</code>" for url in servers if url]
        facts.append(f"{sum(map(len, self._tags.values()))} operations, {len(self._schemas)} schemas")
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
            f'<body><a class="skip" href="#content">To the content</a>\n{self._navigation(title)}\n<main id="content">'
            f'<header><h1>{escape(title)}</h1><p class="facts">{" · ".join(facts)}</p>'
            f"{_prose(info.get('description'))}</header>\n"
            f"{''.join(self._tag(tag, found) for tag, found in self._tags.items())}"
            f"{self._all_schemas()}</main></body></html>\n"
        )

    def _grouped(self, taken: set[str]) -> dict[str, list[Operation]]:
        """Operations by tag: first the tags that the document lists, in its order."""
        named = (_text(_mapping(tag).get("name")) for tag in _sequence(self._document.get("tags")))
        groups: dict[str, list[Operation]] = {name: [] for name in named if name}
        for operation in self._operations(taken):
            groups.setdefault(operation.tag, []).append(operation)
        return {tag: found for tag, found in groups.items() if found}

    def _operations(self, taken: set[str]) -> Iterator[Operation]:
        for path, value in _mapping(self._document.get("paths")).items():
            item = _mapping(value)
            for method in _METHODS:
                if not isinstance(content := item.get(method), dict):
                    continue
                anchor = _anchor("", _text(content.get("operationId")) or f"{method} {path}", taken)
                tag = next((_text(tag) for tag in _sequence(content.get("tags")) if _text(tag)), "other")
                yield Operation(method, _text(path), anchor, tag, _sequence(item.get("parameters")), content)

    def _navigation(self, title: str) -> str:
        groups = []
        for tag, operations in self._tags.items():
            links = "".join(
                f'<li><a href="#{operation.anchor}"><span class="method {operation.method}">{operation.method}</span>'
                f"<span>{_breakable(operation.path)}</span></a></li>"
                for operation in operations
            )
            groups.append(f'<li><a class="tag" href="#{self._tag_anchors[tag]}">{escape(tag)}</a><ul>{links}</ul></li>')
        if self._schemas:
            links = "".join(f'<li><a href="#{self._anchors[name]}">{escape(name)}</a></li>' for name in self._schemas)
            groups.append(f'<li><a class="tag" href="#schemas">Schemas</a><ul>{links}</ul></li>')
        return f'<nav aria-label="{escape(title)}"><ul>{"".join(groups)}</ul></nav>'

    def _tag(self, tag: str, operations: list[Operation]) -> str:
        listed = (_mapping(value) for value in _sequence(self._document.get("tags")))
        about = next((value.get("description") for value in listed if value.get("name") == tag), None)
        anchor = self._tag_anchors[tag]
        return (
            f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(tag)}</h2>{_prose(about)}'
            f"{''.join(map(self._operation, operations))}</section>\n"
        )

    def _operation(self, operation: Operation) -> str:
        content = operation.content
        summary, permission = _text(content.get("summary")), _text(content.get("x-permission"))
        deprecated = content.get("deprecated") is True
        return "".join(
            (
                f'<article id="{operation.anchor}"{" class=deprecated" if deprecated else ""}>',
                f'<h3><span class="method {operation.method}">{operation.method}</span>',
                f'<a href="#{operation.anchor}"><code>{_breakable(operation.path)}</code></a></h3>',
                f'<p class="summary">{escape(summary)}</p>' if summary else "",
                '<p class="note">Deprecated: kept for clients that still use it.</p>' if deprecated else "",
                f'<p class="permission"><b>Permission</b> <code>{escape(permission)}</code></p>' if permission else "",
                _prose(content.get("description")),
                self._parameters(operation),
                self._body(content.get("requestBody")),
                self._responses(content.get("responses")),
                "</article>\n",
            )
        )

    def _parameters(self, operation: Operation) -> str:
        parameters: dict[tuple[str, str], dict[str, Any]] = {}
        for value in [*operation.shared, *_sequence(operation.content.get("parameters"))]:
            parameter = self._resolved(value)
            parameters[_text(parameter.get("in")), _text(parameter.get("name"))] = parameter  # the operation's own wins
        rows = [
            self._field(
                name, parameter.get("schema"), parameter.get("required") is True, parameter.get("description"), place
            )
            for (place, name), parameter in parameters.items()
            if name
        ]
        return _part("Parameters", f"<dl>{''.join(rows)}</dl>" if rows else "")

    def _body(self, value: object) -> str:
        body = self._resolved(value)
        if not body:
            return ""
        required = "" if body.get("required") is True else '<p class="facts">May be left out.</p>'
        return _part("Request body", _prose(body.get("description")) + required + self._content(body.get("content")))

    def _responses(self, value: object) -> str:
        rows = []
        for status, found in _mapping(value).items():
            response = self._resolved(found)
            headers = ", ".join(f"<code>{escape(_text(name))}</code>" for name in _mapping(response.get("headers")))
            rows.append(
                f'<div><dt><span class="status s{escape(_text(status)[:1])}">{escape(_text(status))}</span></dt>'
                f"<dd>{_prose(response.get('description'))}{self._content(response.get('content'))}"
                f"{f'<p class=facts>Headers {headers}</p>' if headers else ''}</dd></div>"
            )
        return _part("Responses", f"<dl>{''.join(rows)}</dl>" if rows else "")

    def _content(self, value: object) -> str:
        """Media types; those of one schema stand together."""
        shown: dict[str, list[str]] = {}
        for media_type, content in _mapping(value).items():
            schema = _mapping(content).get("schema")
            text = (f'<span class="type">{self._type(schema)}</span>' if schema else "") + self._inner(schema, 0)
            shown.setdefault(text, []).append(f"<code>{escape(_text(media_type))}</code>")
        return "".join(f'<div class="media">{", ".join(types)} {text}</div>' for text, types in shown.items())

    def _all_schemas(self) -> str:
        if not self._schemas:
            return ""
        shown = "".join(map(self._schema, self._schemas))
        return f'<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>{shown}</section>'

    def _schema(self, name: str) -> str:
        schema, anchor = self._schemas[name], self._anchors[name]
        fields = self._inner(schema, 0)
        kind = "" if fields else f'<p class="type">{self._type(schema)}{_limits(schema)}</p>'
        return (
            f'<article id="{anchor}"><h3><a href="#{anchor}"><code>{escape(name)}</code></a></h3>'
            f"{_prose(_mapping(schema).get('description'))}{kind}{fields}</article>\n"
        )

    def _inner(self, schema: object, depth: int) -> str:
        """The fields of a schema that stands here and has no name of its own."""
        if depth >= _DEPTH:
            return ""
        found = _mapping(schema)
        properties, required = _mapping(found.get("properties")), _sequence(found.get("required"))
        rows = [
            self._field(_text(name), value, name in required, _mapping(value).get("description"), depth=depth + 1)
            for name, value in properties.items()
        ]
        own = f"<dl>{''.join(rows)}</dl>" if rows else ""
        parts = [found.get("items"), found.get("additionalProperties")]
        parts += [part for key in ("allOf", "anyOf", "oneOf") for part in _sequence(found.get(key))]
        return own + "".join(self._inner(part, depth + 1) for part in parts)

    def _field(
        self,
        name: str,
        schema: object,
        required: bool,
        about: object,
        place: str = "",
        depth: int = 0,
    ) -> str:
        marks = f'<span class="place">{escape(place)}</span>' if place else ""
        marks += '<span class="required">required</span>' if required else ""
        old = _mapping(schema).get("deprecated") is True
        return (
            f'<div><dt><code>{escape(name)}</code> <span class="type">{self._type(schema)}</span> {marks}'
            f"{'<span class=place>deprecated</span>' if old else ''}</dt>"
            f"<dd>{_prose(about)}{_limits(schema)}{self._inner(schema, depth)}</dd></div>"
        )

    def _type(self, schema: object, depth: int = 0) -> str:
        """A schema in a few words; schemas with a name are linked."""
        found = _mapping(schema)
        if reference := _text(found.get("$ref")):
            name = _unescaped(reference.rpartition("/")[2])
            anchor = self._anchors.get(name) if reference.startswith("#/components/schemas/") else None
            return f'<a href="#{anchor}">{escape(name)}</a>' if anchor else escape(name)
        if depth >= _DEPTH:
            return "…"
        for key, joint in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")):
            if parts := _sequence(found.get(key)):
                return joint.join(dict.fromkeys(self._type(part, depth + 1) for part in parts))
        if values := _sequence(found.get("enum")):
            return " or ".join(f"<code>{escape(_json(value))}</code>" for value in values)
        if "const" in found:
            return f"<code>{escape(_json(found['const']))}</code>"
        names = found.get("type")
        kinds = [_text(name) for name in names] if isinstance(names, list) else [_text(names)]
        return " or ".join(self._plain(kind, found, depth) for kind in kinds)

    def _plain(self, kind: str, schema: dict[str, Any], depth: int) -> str:
        if kind == "array":
            return f"array of {self._type(schema['items'], depth + 1)}" if schema.get("items") else "array"
        if kind == "object" and isinstance(more := schema.get("additionalProperties"), dict) and more:
            return f"map of {self._type(more, depth + 1)}"
        if form := _text(schema.get("format")):
            return f"{escape(kind)} ({escape(form)})" if kind != "null" else "null"
        return escape(kind) or ("object" if schema.get("properties") else "any")

    def _resolved(self, value: object) -> dict[str, Any]:
        """What a reference within the document leads to."""
        found = _mapping(value)
        for _ in range(_DEPTH):
            reference = _text(found.get("$ref"))
            if not reference.startswith("#/"):
                return found
            target: object = self._document
            for step in reference[2:].split("/"):
                target = _mapping(target).get(_unescaped(step))
            found = _mapping(target)
        return {}


def _part(heading: str, content: str) -> str:
    return f"<h4>{heading}</h4>{content}" if content else ""


def _limits(schema: object) -> str:
    found = _mapping(schema)
    limits = [
        f"{word} <code>{escape(_json(found[key]) if key != 'pattern' else _text(found[key]))}</code>"
        for key, word in _LIMITS.items()
        if found.get(key) is not None
    ]
    return f'<p class="facts">{", ".join(limits)}</p>' if limits else ""


def _prose(value: object) -> str:
    """Paragraphs, lists of ``- `` lines and ```code``` of a description; all else of Markdown stands as it is."""
    blocks = re.split(r"\n\s*\n", _text(value).strip().replace("\r\n", "\n"))
    return "".join(map(_block, filter(None, blocks)))


def _block(block: str) -> str:
    text = re.sub(r"``?([^`]+)``?", r"<code>\1</code>", escape(block))
    lines = text.split("\n")
    if all(line.lstrip().startswith(("- ", "* ")) for line in lines):
        return f"<ul>{''.join(f'<li>{line.lstrip()[2:]}</li>' for line in lines)}</ul>"
    return f"<p>{text}</p>"


def _breakable(path: str) -> str:
    """``path`` with places to break the line at, and its parameters marked."""
    marked = re.sub(r"\{[^{}]*\}", r"<i>\g<0></i>", escape(path))
    return re.sub(r"/(?!i>)", "/<wbr>", marked)


def _anchor(prefix: str, name: str, taken: set[str]) -> str:
    wanted = found = prefix + (re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") or "x")
    number = 1
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    taken.add(found)
    return found


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


STYLE = """
:root{--ground:#fff;--raised:#f6f7f9;--line:#dfe3e8;--ink:#1b2027;--soft:#5a6472;--link:#0b57b4;--key:#8a4600;
--get:#0b57b4;--post:#176c2d;--put:#8a4600;--patch:#6b3fa0;--delete:#b3231f;--head:#5a6472}
@media(prefers-color-scheme:dark){:root{--ground:#14171c;--raised:#1c2027;--line:#313843;--ink:#e3e7ec;--soft:#9aa5b3;
--link:#7db4ff;--key:#e8b06a;--get:#7db4ff;--post:#74cf88;--put:#e8b06a;--patch:#c3a2f2;--delete:#ff9089;--head:#9aa5b3}}
*{box-sizing:border-box}
html{scroll-padding-top:3.5rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
code{font:.9em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
a:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;z-index:2;background:var(--ground);padding:.3rem}
nav{position:sticky;top:0;z-index:1;background:var(--raised);border-bottom:1px solid var(--line);overflow-x:auto}
nav ul{list-style:none;margin:0;padding:0}
nav>ul{display:flex;gap:.25rem;padding:.4rem .75rem;white-space:nowrap}nav ul ul{display:none}
nav .tag{display:block;padding:.3rem .6rem;border-radius:6px;font-weight:600;font-size:.9rem}
main{padding:1rem 1rem 6rem;max-width:56rem;margin:0 auto}
h1{font-size:1.9rem;line-height:1.2;margin:.75rem 0 .25rem;letter-spacing:-.01em}
h2{font-size:1.4rem;margin:3.5rem 0 .5rem;padding-bottom:.4rem;border-bottom:2px solid var(--line)}
h3{font-size:1rem;font-weight:600;margin:0;display:flex;gap:.6rem;align-items:baseline}h3 a{color:inherit;min-width:0}
h3 i,nav i{font-style:normal;color:var(--key)}
h4{font-size:.75rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:1.1rem 0 .2rem}
p{margin:.4rem 0}dd p,dd ul{margin:.15rem 0}
article{margin:1rem 0;padding:1rem 1.1rem;border:1px solid var(--line);border-radius:10px}
article:target{border-color:var(--link);box-shadow:0 0 0 1px var(--link)}
.deprecated h3 code{text-decoration:line-through}
.summary{font-size:1.05rem}.note{color:var(--put)}.facts{color:var(--soft);font-size:.9rem}
.permission{font-size:.85rem}.permission b{font-weight:600;color:var(--soft)}
.permission code{background:var(--raised);border:1px solid var(--line);border-radius:99px;padding:.1rem .55rem}
.method{flex:none;font:700 .72rem/1 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-transform:uppercase;
color:var(--c,var(--head));border:1px solid currentColor;border-radius:5px;padding:.25rem .4rem;min-width:4.1rem;
text-align:center}
.get{--c:var(--get)}.post{--c:var(--post)}.put{--c:var(--put)}.patch{--c:var(--patch)}.delete{--c:var(--delete)}
dl{margin:0}dl>div{padding:.45rem 0;border-top:1px solid var(--line)}dl>div:first-child{border-top:0}
dt>code{font-weight:600}dd{margin:0;min-width:0}
dd dl{margin:.3rem 0 0;padding-left:.8rem;border-left:2px solid var(--line)}
.type,.place,.required{font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}.required{color:var(--delete)}
.place{border:1px solid var(--line);border-radius:4px;padding:0 .3rem;margin-right:.35rem}
.media{margin:.15rem 0;font-size:.92rem}.media>code{color:var(--soft)}
.status{font:700 .85rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--soft)}
.s2{color:var(--post)}.s4,.s5{color:var(--delete)}
@media(min-width:48rem){dl>div{display:grid;grid-template-columns:minmax(0,15rem) minmax(0,1fr);
gap:1rem;align-items:baseline}
h4+dl>div:has(.status){grid-template-columns:4rem minmax(0,1fr)}
dd dl>div{grid-template-columns:minmax(0,11rem) minmax(0,1fr)}}
@media(min-width:70rem){html{scroll-padding-top:1rem}body{display:grid;grid-template-columns:21rem minmax(0,1fr)}
nav{height:100vh;overflow:hidden auto;border:0;border-right:1px solid var(--line);padding:1rem .5rem}
nav>ul{display:block;padding:0;white-space:normal}nav ul ul{display:block;margin:0 0 .9rem}
nav ul ul a{display:flex;gap:.5rem;align-items:baseline;padding:.16rem .6rem;border-radius:6px;color:var(--ink);
font-size:.82rem;line-height:1.35;overflow-wrap:anywhere}nav a:hover{background:var(--line);text-decoration:none}
nav .method{border:0;padding:0;min-width:3.1rem;text-align:left;font-size:.65rem}
main{margin:0;padding:1.5rem 3rem 6rem}}
@media print{nav,.skip{display:none}article{break-inside:avoid}}
"""
