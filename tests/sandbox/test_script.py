"""Scripts as files: the documented example works, and what is wrong is named by place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.sandbox.agent import Agent, load_script, read_script
from gateway.sandbox.credentials import read_credentials

DOCS = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")
CREDENTIALS, EXAMPLE = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)


def test_the_documented_script_holds_a_conversation(tmp_path):
    path = tmp_path / "pizza.toml"
    path.write_text(EXAMPLE)
    agent = Agent(load_script(path))
    asked = agent.hear(agent.greet().state, "Two small ones.")
    parted = agent.hear(asked.state, "Half past six in the evening.")

    assert agent.greet().reply.text == "Hello, pizza line. What would you like?"
    assert asked.reply.text == "When will you fetch it?"
    assert parted.reply.text == "See you at six thirty p.m. Goodbye."
    assert parted.reply.ends


def test_the_documented_credentials_are_good(tmp_path):
    path = tmp_path / "who.toml"
    path.write_text(CREDENTIALS)

    assert dict(read_credentials(path).role_of) == {
        "sandbox-admin": "AdminRole",
        "auditor": "Reader",
    }


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('start = "order"', 'start = "nowhere"', "start: there is no state 'nowhere'"),
        ('goodbye = "done"', 'goodbye = "time"', "states.time: the state of a goodbye must be"),
        ('next = "time"', 'next = "tim"', "states.order.exits.0.next: there is no state 'tim'"),
        ('fills = ["time"]', 'fills = ["tine"]', "states.time.fills: there is no slot 'tine'"),
        ('put = "order"', 'put = "time"', "states.order.exits.0.put: 'time' is not a slot of kind"),
        ("See you at {time}", "See you at {place}", "states.done: there is no slot 'place'"),
        ("terminal = true", "", "states.done: has no exits"),
        ("anything = true", "anythink = true", "states.order.exits.0.anythink: extra inputs"),
        ('kind = "time"', 'kind = "hour"', "slots.time.kind: input should be"),
        ('name = "pizza line"', "", "name: field required"),
        ("[slots.time]", "[slots.time", "is not TOML"),
    ],
)
def test_each_mistake_is_named_by_its_place(old, new, complaint):
    assert old in EXAMPLE
    with pytest.raises(ConfigError) as caught:
        read_script(EXAMPLE.replace(old, new, 1), "pizza.toml")

    assert complaint in str(caught.value)
    assert "pizza.toml" in str(caught.value)


def test_every_mistake_is_named_at_once():
    wrong = EXAMPLE.replace('start = "order"', 'start = "nowhere"', 1)
    wrong = wrong.replace("anything = true", "anythink = true", 1)
    wrong = wrong.replace("See you at {time}", "See you at {place}", 1)
    wrong = wrong.replace('name = "pizza line"', "", 1)
    with pytest.raises(ConfigError) as caught:
        read_script(wrong, "pizza.toml")

    told = [problem.problem for problem in caught.value.problems]
    assert [line.split(":")[0] for line in told] == [
        "name",
        "states.order.exits.0.anythink",
        "start",
        "states.done",
    ]


@pytest.mark.parametrize(
    "text", ["", "states = 3\nslots = [1]\nkeys = 2", "[states]\na = 1\n[slots]\nb = 1"]
)
def test_what_cannot_be_read_at_all_is_told_without_more(text):
    with pytest.raises(ConfigError, match=r"start: field required|states.a"):
        read_script(text, "pizza.toml")


def test_a_slot_that_is_wrong_is_blamed_once():
    with pytest.raises(ConfigError) as caught:
        read_script(EXAMPLE.replace('kind = "text"', 'kind = "prose"', 1), "pizza.toml")

    assert len(caught.value.problems) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"--script: cannot read .*nowhere.toml"):
        load_script(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "noise.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not a text file"):
        load_script(path)
