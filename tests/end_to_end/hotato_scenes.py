"""hotato's eight scenes held over the telephone: its time plans, our recordings, its verdict.

hotato renders its scenes with tones and lets the agent stop by itself where it should have yielded.
Here both ends are human speech, and an agent that should yield has more to say than its plan: it
falls silent only because the gateway makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from hotato.sdk import Event, run_suite

from audio import mulaw
from audio.recording import mix_stereo
from audio.types import Pcm
from gateway.simulator import CallPlan, Echo, Habits, Utterance
from tests.end_to_end.talk_views import Held
from tests.support.human import line_noise, word

AGENT_MS: Final = 9000
"""The agent's first words; every scene is over before they are."""

NEVER_CLEARED: Final = 60_000
"""hotato alone judges how soon; the simulator's own limit would judge scenes in which nobody may yield."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "01-hard-interruption": ("weasels",),
    "02-backchannel-mhm": ("mike", "ten", "four"),
    "03-filler-start": ("eight", "all-busy"),
    "04-correction": ("something-wrong",),
    "05-telephony-8khz": ("weasels",),
    "06-double-talk": ("all-busy",),
    "07-echo-bleed": (),
    "08-rapid-turn-taking": ("all-busy",),
}
"""What the caller says in each segment of the plan, cut to the segment's length."""


@dataclass(frozen=True)
class Scene:
    """One of hotato's scenarios, as its package has it."""

    document: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def must_yield(self) -> bool:
        return bool(self.document["expected"]["yield"])

    @property
    def _render(self) -> Mapping[str, Any]:
        render: Mapping[str, Any] = self.document["reference_render"]
        return render

    @property
    def agent_ms(self) -> int:
        """When the agent begins, from the beginning of the scene."""
        return _ms(self._render["agent_segments_sec"][0][0])

    @property
    def onset_ms(self) -> int:
        """When the caller begins."""
        return _ms(self.document["caller_onset_sec"])

    @property
    def length_ms(self) -> int:
        return _ms(self.document["duration_sec"])

    def plan(self) -> CallPlan:
        """The caller's part: each segment at its time after the agent's first sound, then the line's noise."""
        habits = Habits(barge_in_after_ms=self.onset_ms - self.agent_ms)
        # the call begins before the scene does, by as long as the agent takes to say its first word
        plan = CallPlan(
            habits=habits, clear_within_ms=NEVER_CLEARED, hang_up_after=self.length_ms / 1000 + 2.0
        )
        render = self._render
        if render.get("caller_is_echo_of_agent"):
            delay_ms = _ms(render["echo_delay_sec"])
            return replace(plan, echo=Echo(gain=render["echo_gain"], delay_ms=delay_ms))
        return replace(plan, items=(Utterance(self._speech(), name=self.id, interrupts=True),))

    def _speech(self) -> bytes:
        sound, until = b"", self.onset_ms
        segments = self._render["caller_segments_sec"]
        for (begins, ends), name in zip(segments, WORDS[self.id], strict=True):
            begins_ms, ends_ms = _ms(begins), _ms(ends)
            sound += line_noise(begins_ms - until) + word(name, ends_ms - begins_ms)
            until = ends_ms
        return sound

    def cut(self, call: Held) -> tuple[Pcm, Pcm]:
        """Both ends of the call on the scene's clock: what the caller sent, what the caller heard."""
        sounding = np.flatnonzero(call.heard)
        assert sounding.size, "the agent was never heard"
        first = int(sounding[0]) - self.agent_ms * 8
        # an agent that greets sooner than the scene's begins its scene before the line was open
        unopened = np.zeros(max(0, -first), np.int16)
        window = slice(max(0, first), first + self.length_ms * 8)
        said, heard = (np.concatenate((unopened, end[window])) for end in (call.said, call.heard))
        assert said.size == heard.size == self.length_ms * 8, "the call was shorter than the scene"
        return said, heard

    def judge(self, call: Held, folder: Path) -> Event:
        """hotato's verdict on the call, by its own limits for this scene."""
        for name in ("labels", "audio"):
            (folder / name).mkdir()
        (folder / "labels" / f"{self.id}.json").write_text(json.dumps(self.document))
        said, heard = (mulaw.encode(channel) for channel in self.cut(call))
        mix_stereo(said, heard, folder / "audio" / f"{self.id}.example.wav")
        [event] = run_suite(folder / "labels", folder / "audio").events
        return event


def scenes() -> list[Scene]:
    """All that hotato has, in its order."""
    folder = files("hotato") / "data" / "scenarios"
    found = [file for file in folder.iterdir() if file.name[0].isdigit()]
    return [Scene(json.loads(file.read_text())) for file in sorted(found, key=lambda f: f.name)]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
