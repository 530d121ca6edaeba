"""`voice-gateway segment`: recordings heard by the ears of a live call."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio import mulaw
from audio.recording import mix_stereo
from audio.types import Pcm
from audio.wav import write_wav
from gateway.bridge.ears import Ears
from gateway.call import events as ev
from gateway.cli import main
from gateway.compose import detector_factory
from gateway.settings import load_settings
from tests.audio.sounds import mixed, quiet, scaled, speech

from .conftest import SetEnvironment

pytestmark = pytest.mark.usefixtures("nowhere")

SENTENCE = speech("young-man")
TURN = np.concatenate((SENTENCE, quiet(450), SENTENCE))
CALL = np.concatenate((quiet(1500), TURN, quiet(2000), speech("goodbye"), quiet(1500)))


@pytest.fixture
def nowhere(set_environment: SetEnvironment) -> None:
    """No credentials, no settings, an empty directory."""
    set_environment({})


def ulaw(name: str, pcm: Pcm) -> Path:
    path = Path(name)
    path.write_bytes(mulaw.encode(pcm))
    return path


@dataclass
class Said:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Segment:
    """The command, with the quicker engine unless another is asked for."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, vad: str = "webrtc") -> Said:
        status = main(["segment", *words, "--set", f"turn_taking.vad={vad}"])
        captured = self._capsys.readouterr()
        return Said(status, captured.out, captured.err)

    def tracks(self, *words: str, vad: str = "webrtc") -> dict[str, list[dict[str, Any]]]:
        said = self(*words, "--json", vad=vad)
        assert said.status == 0, said.err
        tracks: dict[str, list[dict[str, Any]]] = said.document["tracks"]
        return tracks


@pytest.fixture
def segment(capsys: pytest.CaptureFixture[str]) -> Segment:
    return Segment(capsys)


def spans(utterances: Sequence[dict[str, Any]]) -> list[tuple[int, int | None]]:
    return [(one["start_decided_ms"], one["end_decided_ms"]) for one in utterances]


# ---------------------------------------------------------------- what is heard


@pytest.mark.parametrize("vad", ["webrtc", "hybrid"])
def test_it_hears_what_a_live_call_hears(segment: Segment, vad: str) -> None:
    ulaw("a.ulaw", CALL)
    settings = load_settings(assignments=[f"turn_taking.vad={vad}"])
    events: list[tuple[int, ev.Event]] = []
    ears = Ears(
        detector_factory(settings)(),
        lambda event: events.append((ears.frames * 20, event)),
        lambda _at: None,
        pre_roll_ms=settings.turn_taking.pre_roll_ms,
        max_utterance_ms=settings.turn_taking.max_utterance_ms,
    )
    sound = mulaw.encode(CALL)
    for at in range(0, len(sound), 160):
        ears.hear(sound[at : at + 160], at // 8, 100.0 + at / 8000)

    found = segment.tracks("a.ulaw", vad=vad)["a"]

    assert [at for at, event in events if isinstance(event, ev.SpeechStarted)] == [
        one["start_decided_ms"] for one in found
    ]
    assert [at for at, event in events if isinstance(event, ev.SpeechEnded)] == [
        one["end_decided_ms"] for one in found
    ]
    assert [len(one.pcm) // 16 for one in ears.utterances.values()] == [
        one["end_decided_ms"] - one["audio_start_ms"] for one in found
    ]


def test_the_speech_is_where_it_was_put_and_the_pre_roll_before_it(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    first, *_, last = segment.tracks("a.ulaw")["a"]

    assert abs(first["speech_start_ms"] - 1500) <= 60
    assert first["speech_start_ms"] - first["audio_start_ms"] == 400
    assert abs(last["speech_end_ms"] - (CALL.size // 8 - 1500)) <= 250
    assert last["end_decided_ms"] - last["speech_end_ms"] == 660
    assert 0 < first["accepted_ms"] <= first["speech_end_ms"] - first["speech_start_ms"] + 200


def test_a_setting_changes_what_is_heard(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    last = segment.tracks("a.ulaw", "--set", "turn_taking.end_silence_ms=900")["a"][-1]

    assert last["end_decided_ms"] - last["speech_end_ms"] == 900


def test_the_settings_file_is_obeyed(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    Path("a.toml").write_text("[turn_taking]\npre_roll_ms = 100\n")

    first = segment.tracks("a.ulaw", "--config", "a.toml")["a"][0]

    assert first["speech_start_ms"] - first["audio_start_ms"] == 100


def test_an_utterance_split_by_the_cap_goes_on_with_the_next_sample(segment: Segment) -> None:
    ulaw("a.ulaw", np.concatenate((quiet(1000), *[SENTENCE] * 4, quiet(1500))))

    said = segment("a.ulaw", "--json", "--set", "turn_taking.max_utterance_ms=2000")
    found = said.document["utterances"]["a"]

    split = [one for one in found if one["ended_by"] == "length"]
    assert split
    for one, after in pairwise(found):
        if one["ended_by"] == "length":
            assert one["end_decided_ms"] == after["start_decided_ms"] == after["audio_start_ms"]
            assert one["end_decided_ms"] - one["audio_start_ms"] <= 2000

    # a scorer is told of beginnings: what the cap split began once
    [whole] = said.document["tracks"]["a"]
    for field in ("start_decided_ms", "audio_start_ms", "speech_start_ms"):
        assert whole[field] == found[0][field]
    for field in ("end_decided_ms", "speech_end_ms", "ended_by"):
        assert whole[field] == found[-1][field]
    assert whole["accepted_ms"] == sum(one["accepted_ms"] for one in found)


def test_what_is_open_at_the_end_has_no_declared_end(segment: Segment) -> None:
    ulaw("a.ulaw", np.concatenate((quiet(1000), SENTENCE)))

    last = segment.tracks("a.ulaw")["a"][-1]

    assert (last["end_decided_ms"], last["ended_by"]) == (None, "recording")
    assert "still open" in segment("a.ulaw").out


def test_any_wav_is_heard_as_the_line_would_carry_it(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    Path("b.wav").write_bytes(write_wav(np.repeat(CALL, 2), 16_000))

    found = segment.tracks("a.ulaw", "b.wav")

    assert len(found["a"]) == len(found["b"])
    for one, other in zip(found["a"], found["b"], strict=True):
        assert abs(one["start_decided_ms"] - other["start_decided_ms"]) <= 40


# ---------------------------------------------------------------- the agent's voice


def echoing() -> tuple[Pcm, Pcm]:
    """The agent speaks, 90 ms later its echo comes back 24 dB softer, the caller is silent."""
    agent = np.concatenate([SENTENCE] * 3)
    echo = np.concatenate((np.zeros(720, np.int16), scaled(agent, -44.0)))[: agent.size]
    return mixed(quiet(agent.size // 8), echo), agent


def line(said: Said, name: str) -> dict[str, Any]:
    told: dict[str, Any] = said.document["lines"][name]
    return told


@pytest.mark.parametrize("how", ["beside", "caller-beside", "option", "stereo"])
def test_the_agents_voice_is_found_and_its_echo_is_no_caller(segment: Segment, how: str) -> None:
    caller, agent = echoing()
    match how:
        case "beside":
            ulaw("a.ulaw", caller)
            ulaw("a.agent.ulaw", agent)
            words = ["a.ulaw", "a.agent.ulaw"]
        case "caller-beside":
            ulaw("a.caller.ulaw", caller)
            ulaw("a.agent.ulaw", agent)
            words = ["a.caller.ulaw"]
        case "option":
            ulaw("a.ulaw", caller)
            Path("b.wav").write_bytes(write_wav(agent, 8000))
            words = ["a.ulaw", "--agent", "b.wav"]
        case _:
            mix_stereo(mulaw.encode(caller), mulaw.encode(agent), Path("a.wav"))
            words = ["a.wav"]

    said = segment(*words, "--json")

    (name,) = said.document["tracks"]
    assert said.document["tracks"][name] == []
    assert abs(line(said, name)["echo_delay_ms"] - 90) <= 3
    assert abs(line(said, name)["echo_return_db"] + 24) <= 4


def test_without_the_agents_voice_an_echo_is_heard(segment: Segment) -> None:
    ulaw("a.ulaw", echoing()[0])

    said = segment("a.ulaw", "--json")

    assert said.document["tracks"]["a"]
    assert line(said, "a")["echo_delay_ms"] is None


# ---------------------------------------------------------------- how it is told


def test_the_text_has_a_line_for_each_utterance_and_a_summary(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    found = segment.tracks("a.ulaw")["a"]

    title, _, *rows, summary = segment("a.ulaw").out.strip().splitlines()

    assert title == f"a: {CALL.size / 8000:.1f} s, voice-gateway webrtc"
    assert len(found) == len(rows)
    assert f"{found[0]['start_decided_ms'] / 1000:.2f}" in rows[0]
    assert summary.strip().startswith(f"{len(found)} utterances, speech ")
    assert summary.endswith("no echo found")


def test_speech_too_short_to_be_sent_is_marked(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    said = segment("a.ulaw", "--set", "turn_taking.upload_after_ms=5000")

    assert "too little to be sent" in said.out


# ---------------------------------------------------------------- labels


def labels(**more: Any) -> Path:
    middle = 1500 + TURN.size // 8
    turn = {"start_ms": 1500, "end_ms": middle, "kind": "phrase", "barge_in": False}
    last = turn | {"start_ms": middle + 2000, "end_ms": CALL.size // 8 - 1500}
    track = {
        "id": "a",
        "file": "a.ulaw",
        "duration_ms": CALL.size // 8,
        "noise": "clean",
        "turns": [turn, last],
        **more,
    }
    path = Path("manifest.json")
    path.write_text(json.dumps({"tracks": [track]}))
    return path


def test_a_manifest_names_the_recordings_and_scores_them(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    labels()

    said = segment("--manifest", "manifest.json", "--json")
    text = segment("--manifest", "manifest.json")

    score = said.document["score"]
    assert (score["turns"], score["missed_pct"], score["false_starts"]) == (2, 0.0, 0)
    assert 550 <= score["end_delay_ms"]["p50"] <= 900
    assert "against the labels of 2 turns:" in text.out


def test_the_agents_file_is_taken_from_the_manifest(segment: Segment) -> None:
    caller, agent = echoing()
    ulaw("a.ulaw", caller)
    ulaw("ours.ulaw", agent)
    labels(turns=[], agent_file="ours.ulaw")

    assert {"a": []} == segment.tracks("--manifest", "manifest.json")


# ---------------------------------------------------------------- the sweep


def test_a_sweep_shows_what_more_patience_joins_and_costs(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    said = segment("a.ulaw", "--sweep", "200,900", "--json")
    rows = {row["end_silence_ms"]: row for row in said.document["sweep"]}
    table = segment("a.ulaw", "--sweep", "200,900").out.splitlines()

    assert list(rows) == [200, 660, 900]
    assert said.document["base_ms"] == 660
    assert rows[200]["utterances"] > rows[900]["utterances"]
    assert rows[200]["split"] > 0 == rows[660]["split"] == rows[660]["joined"]
    assert rows[200]["went_on"] > rows[900]["went_on"]
    assert rows[900]["wait_ms"]["p50"] == 900
    assert [words[0] for row in table if (words := row.split()) and words[0].isdigit()] == [
        "200",
        "660",
        "900",
    ]
    assert table[2].endswith("<- in effect")


def test_a_sweep_without_values_takes_its_own_and_leaves_the_file_alone(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    said = segment("--sweep", "a.ulaw", "--json")

    tried = [row["end_silence_ms"] for row in said.document["sweep"]]
    assert tried == sorted({*range(200, 1001, 100), 660})


def test_a_sweep_over_labels_shows_cut_and_late_turns(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    labels()

    said = segment("--sweep", "200,800", "--manifest", "manifest.json", "--json")
    table = segment("--sweep", "200,800", "--manifest", "manifest.json").out

    cut = {row["end_silence_ms"]: row["score"]["cut_pct"] for row in said.document["sweep"]}
    late = {row["end_silence_ms"]: row["score"]["end_delay_ms"] for row in said.document["sweep"]}
    assert cut[200] > cut[800]
    assert late[200]["p50"] < late[800]["p50"]
    assert "missed %" in table


# ---------------------------------------------------------------- the picture


def png(path: str) -> bytes:
    return Path(path).read_bytes()[:4]


def test_a_picture_is_drawn(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)

    said = segment("a.ulaw", "--plot", "a.png", vad="hybrid")

    assert said.status == 0
    assert png("a.png") == b"\x89PNG"


def test_each_of_several_recordings_has_its_picture(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    ulaw("b.ulaw", quiet(2000))

    assert segment("a.ulaw", "b.ulaw", "--plot", "p.png").status == 0
    assert png("p-a.png") == png("p-b.png") == b"\x89PNG"


def test_without_matplotlib_the_extra_is_named(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ulaw("a.ulaw", CALL)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    said = segment("a.ulaw", "--plot", "a.png")

    assert (said.status, said.out) == (2, "")
    assert said.err == "--plot: needs matplotlib: install voice-gateway[plot]\n"


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["a.ulaw", "--set", "turn_taking.end_silence=1"],
            "did you mean turn_taking.end_silence_ms",
        ),
        (["a.ulaw", "--set", "turn_taking.end_silence_ms=x"], "'x' is not a whole number"),
        (["a.ulaw", "--set", "silence.prompts=1"], "changes nothing that the ears do"),
        (["a.ulaw", "--sweep", "50"], "GATEWAY_TURN_TAKING__END_SILENCE_MS (option): 50 is too"),
        (["missing.ulaw"], "missing.ulaw: cannot be read: No such file or directory"),
        (["empty.ulaw"], "empty.ulaw: is empty: it holds less than one frame"),
        (["."], "cannot be read: Is a directory"),
        (["text.txt"], "text.txt: cannot be heard: neither WAV nor named .ulaw"),
        (["a.ulaw", "sub/a.ulaw"], "a: is the name of more than one FILE"),
        (
            ["a.ulaw", "b.ulaw", "--agent", "b.ulaw"],
            "--agent: belongs to one FILE, and there are 2",
        ),
        (["a.ulaw", "--agent", "missing.ulaw"], "missing.ulaw: cannot be read"),
        ([], "FILE: is missing"),
        (["a.ulaw", "--manifest", "text.txt"], "text.txt: is no manifest of labelled tracks"),
        (["b.ulaw", "--manifest", "manifest.json"], "has labels of none of the FILEs"),
        (["a.ulaw", "--plot", "none/a.png"], "--plot: 'none' is no directory"),
        (["a.ulaw", "--plot", "a.png", "--sweep"], "--plot: draws one run"),
    ],
)
def test_whatever_is_wrong_is_one_line_and_2(
    segment: Segment, words: list[str], problem: str
) -> None:
    Path("sub").mkdir()
    for name in ("a.ulaw", "b.ulaw", "sub/a.ulaw"):
        ulaw(name, quiet(500))
    Path("empty.ulaw").touch()
    Path("text.txt").write_text("hello")
    labels()

    said = segment(*words)

    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert problem in said.err


def test_every_wrong_file_is_named_before_anything_is_heard(segment: Segment) -> None:
    ulaw("a.ulaw", CALL)
    Path("empty.wav").touch()

    said = segment("a.ulaw", "empty.wav", "missing.wav")

    assert (said.status, said.out) == (2, "")
    assert [text.split(":")[0] for text in said.err.splitlines()] == ["empty.wav", "missing.wav"]
