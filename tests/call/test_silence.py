"""The clock of the caller's silence: only accepted speech stops it."""

from __future__ import annotations

from gateway.call import commands as cmd
from gateway.call import events as ev
from tests.call.test_session_scenes import Stage


def noise(stage: Stage, utterance: int) -> None:
    stage.tell(ev.SpeechStarted(utterance))
    stage.wait(0.9)
    stage.tell(ev.SpeechEnded(utterance, 0, stage.now - 0.9, stage.now - 0.7))


def test_a_noise_now_and_then_does_not_put_off_the_prompt() -> None:
    stage = Stage().greeted()

    for utterance in range(3):
        stage.wait(2.5)
        noise(stage, utterance)

    assert stage.phrases() == []
    stage.wait(1.0)
    assert cmd.Phrase.STILL_THERE in stage.phrases()


def test_a_noise_at_the_very_moment_puts_it_off_to_its_end() -> None:
    stage = Stage().greeted()
    stage.wait(9.8)
    stage.tell(ev.SpeechStarted(0))
    stage.wait(0.9)
    assert stage.phrases() == []

    stage.tell(ev.SpeechEnded(0, 0, stage.now - 0.9, stage.now - 0.7))
    stage.wait(0.0)
    assert cmd.Phrase.STILL_THERE in stage.phrases()


def test_words_start_the_clock_anew() -> None:
    stage = Stage().greeted()
    stage.wait(9.0)
    item = stage.spoken().replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "t", ends=False), ev.TurnClosed(1))
    stage.tell(ev.PlaybackDrained(item, 900, "t"))

    stage.wait(9.5)
    assert stage.phrases() == []
