"""`make audit` against a double of the advisory service, and against none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from tools.audit import CLEAN, FOUND, LOCKS, NOT_ASKED, main

FAULT = {
    "id": "GHSA-xxxx",
    "summary": "it explodes",
    "aliases": [],
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "aiohttp", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}],
            "versions": ["1.0"],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Knows one fault, of aiohttp."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [FAULT]} if asked["package"]["name"] == "aiohttp" else {})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *_args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def advisories() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lock(folder: Path, *names: str) -> Path:
    written = folder / "lock.txt"
    written.write_text("".join(f"{name}==1.0 --hash=sha256:{'0' * 64}\n" for name in names))
    return written


def test_a_known_fault_is_told_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with advisories() as url:
        status = main(["--lock", str(lock(tmp_path, "aiohttp", "yarl")), "--osv-url", url])

    assert status == FOUND
    told = capsys.readouterr().out
    assert "aiohttp 1.0, in the gateway: GHSA-xxxx (mended in 9.9)" in told
    assert "2 packages, 1 with known faults" in told


def test_nothing_known_is_status_0(tmp_path: Path) -> None:
    with advisories() as url:
        assert main(["--lock", str(lock(tmp_path, "yarl")), "--osv-url", url]) == CLEAN


@pytest.mark.parametrize(("options", "expected"), [([], NOT_ASKED), (["--may-be-offline"], CLEAN)])
def test_a_machine_that_reaches_no_advisories_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: int
) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}/v1/query"
    status = main(["--lock", str(lock(tmp_path, "yarl")), "--osv-url", nowhere, *options])

    assert status == expected
    assert "audit: NOT DONE, osv.dev could not be asked" in capsys.readouterr().err


def test_the_lock_that_is_asked_about_holds_all_others() -> None:
    def packages(name: str) -> set[str]:
        lines = (LOCKS / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line and line[0].isalnum()}

    assert packages("gateway.txt") | packages("sandbox.txt") <= packages("dev.txt")
