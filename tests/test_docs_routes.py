"""The routes file in the documentation is one that loads, and names every key there is."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.settings import Needs, load_settings
from gateway.settings.routes import KEYS
from tests.settings.test_settings_problems import COMPLETE

PAGE = Path("docs/identity-and-routes.md")


def test_the_example_loads_and_says_what_its_comments_say(tmp_path: Path) -> None:
    page = PAGE.read_text()
    (example,) = re.findall("```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "routes.toml"
    path.write_text(example)
    environ = COMPLETE | {
        "GATEWAY_ROUTES": str(path),
        "GATEWAY_IDENTITY_SECRET": "hush",
        "BERLIN_API_KEY": "k",
        "BERLIN_API_KEY_ID": "i",
    }

    settings = load_settings(needs=Needs.SERVE, environ=environ, dotenv=None)

    berlin, edge, default = settings.routes
    assert berlin.settings.amigo_user_pool == ("front-desk-1", "front-desk-2")
    assert berlin.settings.turn_taking.end_silence_ms == 800
    assert berlin.settings.gateway_rating
    assert berlin.overflow == "+4930999999"
    assert edge.settings.amigo_organization_id == COMPLETE["AMIGO_ORGANIZATION_ID"]
    assert (default.number, default.settings.gateway_identity) == ("default", "per-caller")


def test_the_page_names_every_key() -> None:
    page = PAGE.read_text()

    missing = [key for key in KEYS if f"`{key}`" not in page]

    assert missing == ["organization_id", "service"], "understood, but not advertised"
