"""The printed settings and the strict list."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.sandbox.credentials import export_lines, read_credentials
from gateway.sandbox.options import Credentials

GOOD = """
organization = "acme"
api_key = "very-secret"
api_key_id = "id-1"
users = ["ada", "bob"]
admins = ["boss"]
[[services]]
id = "aaaaaaaaaaaaaaaaaaaaaaaa"
name = "desk"
version_sets = ["release"]
[[services]]
id = "bbbbbbbbbbbbbbbbbbbbbbbb"
"""


def test_the_defaults_are_those_of_the_contract():
    assert export_lines("http://127.0.0.1:8090", Credentials()) == [
        "export AMIGO_BASE_URL=http://127.0.0.1:8090",
        "export AMIGO_ORGANIZATION_ID=sandbox",
        "export AMIGO_API_KEY=sandbox-key",
        "export AMIGO_API_KEY_ID=sandbox-key-id",
        "export AMIGO_USER_ID=sandbox-caller",
        "export AMIGO_SERVICE_ID=5a9db0c55a9db0c55a9db0c5",
        "export AMIGO_ADMIN_USER_ID=sandbox-admin",
    ]


def test_values_are_quoted_for_the_shell():
    assert "export AMIGO_API_KEY='a b$c'" in export_lines("http://x", Credentials(api_key="a b$c"))


def test_a_file_replaces_everything(tmp_path):
    path = tmp_path / "who.toml"
    path.write_text(GOOD)
    who = read_credentials(path)

    assert (who.organization, who.api_key, who.user) == ("acme", "very-secret", "ada")
    assert sorted(who.users or ()) == ["ada", "bob", "boss"]
    assert dict(who.role_of) == {"boss": "AdminRole"}
    assert [(s.id[0], s.name, s.version_sets) for s in who.services] == [
        ("a", "desk", ("release",)),
        ("b", "front desk", ("release", "edge")),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('organization = "acme"', "", "organization must be"),
        ('users = ["ada", "bob"]', "users = []", "users must be"),
        ('users = ["ada", "bob"]', 'users = "ada"', "users must be"),
        ('admins = ["boss"]', "admins = [1]", "admins must be"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "A", "service 1 needs an id"),
        ('version_sets = ["release"]', 'version_sets = "release"', "service 1 needs"),
        ('api_key_id = "id-1"', 'api_key_id = "id-1"\nsecret = 1', "unknown key 'secret'"),
        ("[[services]]", "[[services]", "is not TOML"),
    ],
)
def test_each_problem_is_named_and_the_key_is_not_told(tmp_path, old, new, complaint):
    path = tmp_path / "who.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_credentials(path)

    assert complaint in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.toml"):
        read_credentials(tmp_path / "nowhere.toml")


def test_the_key_is_not_in_the_repr():
    assert "sandbox-key'" not in repr(Credentials())
