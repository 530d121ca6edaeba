"""The threat model names tests that exist, and the limits in SECURITY.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.web.guard import Limits
from gateway.web.listening import MAX_HEADERS
from gateway.web.middleware import MAX_BODY_BYTES

ROOT = Path(__file__).parent.parent.parent
MODEL = (ROOT / "docs" / "threat-model.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", MODEL)))


def test_tests_are_named() -> None:
    assert len(NAMED) > 25


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda text: str(text).rpartition("/")[2])
def test_a_named_test_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_threat_names_a_test() -> None:
    threats = MODEL.partition("## What stops them")[2].partition("## What is left")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ")]
    bare = [row for row in rows if "::test_" not in row and not row.startswith("| threat |")]

    assert bare == []


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    for said in (
        f"| header fields | {MAX_HEADERS} |",
        f"| body of a request | {MAX_BODY_BYTES // 1024} KiB",
        f"| head of a request | {limits.head:.0f} s |",
        f"| request and its answer | {limits.request:.0f} s |",
        f"| connection between requests | {limits.idle:.0f} s |",
        f"for each process | {limits.connections} |",
    ):
        assert said in SECURITY, said


def test_files_named_in_security_md_exist() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)", SECURITY):
        assert (ROOT / name).exists(), name
