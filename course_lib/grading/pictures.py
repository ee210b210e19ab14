"""Pictures of a learner's, for the person who marks: pasted into an answer, or drawn by a cell.

A browser gets a picture only if it is one by its content, under a name and a type of ours.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from PIL import Image

from course_lib.grading.sandbox.policy import MAX_PICTURE, MAX_PICTURES
from course_lib.grading.sanitize import sanitize

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_PLACE = re.compile(
    r"""!\[[^\[\]]*\]\(attachment:([^()\s]+)\)|<img\b[^<>]*?\bsrc=["']attachment:([^"'<>]+)["'][^<>]*>"""
)
_MAX_TEXT = 4000  # characters of an output that are shown

Attachments = dict[str, dict[str, str]]


def checked(data: object) -> tuple[str, str] | None:
    """(type, base64) of a picture that somebody sent in base64; None if it is none."""
    text = "".join(map(str, data)) if isinstance(data, list) else data
    if not isinstance(text, str) or len(text) > MAX_PICTURE * 4 // 3 + 4:
        return None
    try:
        content = base64.b64decode(text)
        with Image.open(io.BytesIO(content), formats=list(_TYPES)) as picture:
            picture.verify()
            kind = _TYPES[picture.format or ""]
    except Exception:  # noqa: BLE001 - whatever a broken picture makes a reader raise
        return None
    return kind, base64.b64encode(content).decode()


def markdown_cell(cell: NotebookNode, source: str) -> NotebookNode:
    """A learner's text as a cell in which nothing acts, with the pictures pasted into it."""
    text, attachments = with_pictures(source, cell.get("attachments"))
    made = new_markdown_cell(text)
    if attachments:
        made["attachments"] = attachments
    return made


def with_pictures(source: str, pasted: object) -> tuple[str, Attachments]:
    """Sanitized markdown with its pictures where they stood, and the attachments they come from."""
    found: dict[str, str] = {}
    attachments: Attachments = {}
    for name, bundle in pasted.items() if isinstance(pasted, dict) else ():
        for data in bundle.values() if isinstance(bundle, dict) else ():
            if len(attachments) < MAX_PICTURES and (picture := checked(data)):
                kind, text = picture
                found[str(name)] = f"picture-{len(attachments) + 1}.{kind.partition('/')[2]}"
                attachments[found[str(name)]] = {kind: text}
                break
    pieces, end = [], 0
    left = dict(found)
    for place in _PLACE.finditer(source):
        name = unquote(place[1] or place[2])
        if name in found:
            pieces += [sanitize(source[end : place.start()]), _shown(found[name])]
            end = place.end()
            left.pop(name, None)
    pieces.append(sanitize(source[end:]))
    pieces += map(_shown, left.values())
    return "".join(pieces), attachments


def _shown(name: str) -> str:
    return f"\n\n![{name}](attachment:{name})\n\n"  # apart, so that no text reaches into it


def handed_in(cell: NotebookNode, texts: bool) -> NotebookNode | None:
    """A cell that shows the pictures (and `texts`) that a learner's code cell had as outputs; None
    if there are none."""
    pictures: Attachments = {}
    lines: list[str] = []
    for bundle in _bundles(cell):
        found = next(filter(None, (checked(bundle.get(kind)) for kind in _TYPES.values())), None)
        if found and len(pictures) < MAX_PICTURES:
            name = f"figure-{len(pictures) + 1}.{found[0].partition('/')[2]}"
            pictures[name] = {found[0]: found[1]}
            lines.append(_shown(name))
        elif texts and (text := _text(bundle.get("text/plain"))):
            indented = "\n".join(f"    {line}" for line in text[:_MAX_TEXT].splitlines())
            lines.append(f"\n\n{sanitize(indented)}\n\n")
    if not lines:
        return None
    made = new_markdown_cell("**As it was handed in:**" + "".join(lines))
    made["attachments"] = pictures
    return made


def _bundles(cell: NotebookNode) -> Iterator[dict[str, Any]]:
    """The outputs of a cell, each by its types."""
    outputs = cell.get("outputs")
    for output in outputs[: 2 * MAX_PICTURES] if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            data = output.get("data", {"text/plain": output.get("text")})
            if isinstance(data, dict):
                yield data


def _text(value: object) -> str:
    text = "".join(map(str, value)) if isinstance(value, list) else value
    return text if isinstance(text, str) else ""
