"""A strict reader of `multipart/form-data` bodies (RFC 7578), written apart from any client's writer."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser


class BadForm(Exception):  # noqa: N818 - reads as the sentence it is
    """The body is not the form its content type promises."""


@dataclass(frozen=True, slots=True)
class Field:
    """One part of the form."""

    name: str
    value: bytes
    content_type: str
    """Empty when the part names none."""
    filename: str | None


def boundary_of(content_type: str) -> str | None:
    """The boundary of a `multipart/form-data` content type; None for any other."""
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() != "multipart/form-data":
        return None
    boundary = header.get_param("boundary")
    return boundary if isinstance(boundary, str) and boundary else None


def read_form(body: bytes, boundary: str) -> list[Field]:
    """All fields in their order; raises `BadForm` for anything cut short or out of shape."""
    delimiter = b"\r\n--" + boundary.encode()
    sections = (b"\r\n" + body).split(delimiter)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise BadForm("the closing boundary is missing")
    return [_field(section) for section in sections[1:-1]]


def _field(section: bytes) -> Field:
    # After the boundary a line may be padded with blanks (RFC 2046, 5.1.1).
    padding, ended, rest = section.partition(b"\r\n")
    head, split, value = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not ended or not split:
        raise BadForm("a part has no headers")
    headers = HeaderParser().parsestr(head.strip(b"\r\n").decode("utf-8", "replace"))
    name = headers.get_param("name", header="content-disposition")
    if headers.get_content_disposition() != "form-data" or not isinstance(name, str):
        raise BadForm("a part is not named form-data")
    declared = headers.get_content_type() if "content-type" in headers else ""
    return Field(name, value, declared, headers.get_filename())
