"""The image recipe: linted, without surprises, with health checks that really tell sick from well.

The whole build, in a clean root, is tools/container-check.sh: it needs root and minutes.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

TOP = Path(__file__).parents[2]
DOCKERFILE = TOP / "Dockerfile"
BUILD_ONLY = {"hatchling", "editables", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
IMAGES = {"gateway": "/healthz", "sandbox": "/v1/openapi.json"}


@dataclass
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    steps: list[tuple[str, str]]

    def all(self, word: str) -> list[str]:
        return [rest for step, rest in self.steps if step == word]


def stages() -> list[Stage]:
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"))
    found: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        match line.split(maxsplit=1):
            case ["FROM", rest]:
                base, _, name = rest.partition(" AS ")
                found.append(Stage(name, base, []))
            case [word, rest]:
                found[-1].steps.append((word, rest))
    return found


def lineage(name: str) -> list[Stage]:
    """The stages an image is made of, nearest first."""
    by_name = {stage.name: stage for stage in stages()}
    chain = [by_name[name]]
    while chain[-1].base in by_name:
        chain.append(by_name[chain[-1].base])
    return chain


def setting(name: str, word: str) -> str:
    """The value an image ends up with."""
    return next(stage.all(word)[-1] for stage in lineage(name) if stage.all(word))


def locked(lock: str) -> dict[str, str]:
    """Package name to the text of its entry."""
    text = (TOP / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    return {
        entry.split("==")[0]: entry for entry in re.split(r"(?m)^(?=\w)", text) if entry.strip()
    }


# ------------------------------------------------------------------ the Dockerfile


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--no-color", DOCKERFILE], check=False, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_gateway_is_what_a_plain_build_makes() -> None:
    assert stages()[-1].name == "gateway"


def test_every_image_starts_from_one_slim_python() -> None:
    named = {stage.name for stage in stages()}

    assert {stage.base for stage in stages() if stage.base not in named} == {"python:3.12-slim"}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_without_rights_and_hears_sigterm(image: str) -> None:
    user, group = (int(number) for number in setting(image, "USER").split(":"))

    assert min(user, group) >= 10_000
    assert setting(image, "STOPSIGNAL") == "SIGTERM"
    # Without a shell between them, the signal reaches Python.
    assert json.loads(setting(image, "ENTRYPOINT")) == ["voice-gateway"]
    assert isinstance(json.loads(setting(image, "CMD")), list)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_ships_its_environment_and_nothing_of_the_build(image: str) -> None:
    copies = [rest.split() for stage in lineage(image) for rest in stage.all("COPY")]

    assert copies == [[f"--from=build-{image}", "/opt/venv", "/opt/venv"]]


def test_every_install_is_locked_or_offline() -> None:
    installs = [
        part
        for stage in stages()
        for rest in stage.all("RUN")
        for part in rest.split("&&")
        if " install " in part and "pip" in part
    ]

    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install
        assert "--only-binary=:all:" in install or "--no-deps" in install


def test_what_is_copied_exists_and_is_let_through_by_dockerignore() -> None:
    rules = [
        rule
        for rule in (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if rule and not rule.startswith("#")
    ]
    sources = {
        source
        for stage in stages()
        for rest in stage.all("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    }

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    for source in sources:
        assert (TOP / source).exists(), source


@pytest.mark.parametrize("secret", [".env", "gateway/.env", "gateway/store/calls.db"])
def test_no_secret_or_store_gets_into_a_build(secret: str) -> None:
    rules = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
    verdict = ""
    for rule in rules:  # the last rule that fits decides
        pattern = rule.removeprefix("!")
        anywhere = pattern.startswith("**/") and fnmatch.fnmatch(Path(secret).name, pattern[3:])
        if anywhere or fnmatch.fnmatch(secret, pattern) or secret.startswith(f"{pattern}/"):
            verdict = rule

    assert verdict
    assert not verdict.startswith("!")


# ------------------------------------------------------------------ health checks


def probe(image: str) -> list[str]:
    words = setting(image, "HEALTHCHECK")
    command: list[str] = json.loads(words[words.index("CMD") + 3 :])
    assert command[:2] == ["python", "-c"]
    return [sys.executable, *command[1:]]


async def verdict_on(image: str, port: int) -> int:
    process = await asyncio.create_subprocess_exec(
        *(part.replace("8090", str(port)) for part in probe(image)),
        env=os.environ | {"GATEWAY_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
async def test_a_health_check_tells_sick_from_well(image: str, status: int, healthy: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get(IMAGES[image], answer)
    async with TestServer(app) as server:
        assert server.port is not None
        assert (await verdict_on(image, server.port) == 0) is healthy


@pytest.mark.parametrize("image", IMAGES)
async def test_a_process_that_does_not_listen_is_not_healthy(image: str) -> None:
    assert await verdict_on(image, unused_port()) != 0


# ------------------------------------------------------------------ locks and notices


@pytest.mark.parametrize("lock", ["gateway", "sandbox"])
def test_every_locked_package_carries_hashes_and_no_address(lock: str) -> None:
    entries = locked(lock)

    assert len(entries) > 30
    for name, entry in entries.items():
        assert "--hash=sha256:" in entry, name
        assert "://" not in entry, name


def test_the_images_hold_what_the_project_depends_on() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}

    assert names(project["dependencies"] + extras["fast"]) <= locked("gateway").keys()
    assert names(extras["sandbox"]) <= locked("sandbox").keys()
    assert not names(extras["sandbox"]) & locked("gateway").keys()


def test_packages_are_at_the_same_version_in_both_images() -> None:
    def versions(lock: str) -> dict[str, str]:
        return {name: entry.split()[0] for name, entry in locked(lock).items()}

    gateway, sandbox = versions("gateway"), versions("sandbox")

    assert gateway == {name: sandbox[name] for name in gateway}


@pytest.mark.parametrize("lock", ["gateway", "sandbox"])
def test_the_third_party_notice_names_every_package_we_ship(lock: str) -> None:
    notice = (TOP / "THIRD_PARTY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^\| ([\w-]+)", notice))

    assert locked(lock).keys() - BUILD_ONLY - named == set()


@pytest.mark.parametrize("image", IMAGES)
def test_the_build_backend_is_removed_again(image: str) -> None:
    removed = next(
        rest.partition("uninstall")[2]
        for stage in stages()
        if stage.name == f"build-{image}"
        for rest in stage.all("RUN")
        if "uninstall" in rest
    )

    assert set(removed.split()) >= BUILD_ONLY


# ------------------------------------------------------------------ the check in a clean root


def container_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOP / "tools" / "container-check.sh", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


def test_where_the_whole_check_cannot_run_it_says_so_and_does_not_pass() -> None:
    done = container_check("--python", "/nowhere/python3.12")

    assert done.returncode == 3
    assert "cannot check here" in done.stderr


def test_the_whole_check_explains_itself() -> None:
    done = container_check("--help")

    assert done.returncode == 0
    assert "--work DIR" in done.stdout
    assert "set -eu" not in done.stdout
    assert container_check("--no-such-option").returncode == 2
