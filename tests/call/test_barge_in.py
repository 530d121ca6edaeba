"""Speech over the agent's voice: what interrupts, what does not, and what becomes of it."""

from __future__ import annotations

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from tests.call.test_session_scenes import Stage


def talking() -> tuple[Stage, int]:
    """The agent is answering; the caller is silent."""
    stage = Stage().greeted().spoken()
    return stage, stage.replying()


def settled(stage: Stage) -> list[bool]:
    return [one.confirmed for one in stage.asked if isinstance(one, cmd.CountBargeIn)]


def notes(stage: Stage, kind: str) -> int:
    return sum(found == kind for _, found, _ in stage.session.record.events)


def word(stage: Stage, utterance: int, ms: int) -> list[cmd.Command]:
    """One short word over the agent's voice, from its onset to its declared end."""
    said = stage.tell(ev.SpeechStarted(utterance), ev.SpeechAccepted(utterance, 240))
    stage.now += ms / 1000
    said += stage.tell(ev.SpeechPaused(utterance, ms))
    stage.now += 0.5
    return said + stage.tell(ev.SpeechEnded(utterance, 240, stage.now - 1.0, stage.now - 0.6))


def test_our_voice_goes_on_as_soon_as_a_short_word_stops() -> None:
    stage, _ = talking()

    assert [cmd.HoldSpeech()] == stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240))
    assert cmd.ResumeSpeech() in stage.tell(ev.SpeechPaused(1, 300))
    assert [False] == settled(stage)


def test_one_sound_is_settled_once_however_often_it_pauses() -> None:
    stage, _ = talking()
    stage.tell(ev.SpeechStarted(1), ev.SpeechPaused(1, 100))

    assert [cmd.HoldSpeech()] == stage.tell(ev.SpeechResumed(1))
    assert [cmd.ResumeSpeech()] == stage.tell(ev.SpeechPaused(1, 200))
    stage.tell(ev.SpeechEnded(1, 0, 100.0, 100.2))
    assert [False] == settled(stage)


def test_speech_that_comes_back_may_still_interrupt() -> None:
    stage, _ = talking()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechPaused(1, 200))

    stage.tell(ev.SpeechResumed(1))
    assert cmd.ClearSpeech() in stage.tell(ev.SpeechAccepted(1, 450))
    assert stage.session.phase is Phase.UPLOADING


def test_one_short_word_is_listening_said_aloud() -> None:
    stage, item = talking()

    said = word(stage, 1, 360)
    assert cmd.ClearSpeech() not in said
    stage.now += 2.0
    said = stage.tell(ev.ReplyCompleted(1, "m", "i", "t", ends=False), ev.TurnClosed(1))
    said += stage.tell(ev.PlaybackDrained(item, 4000, "t"))
    assert cmd.DropUtterance(1) in said
    assert notes(stage, "back-channel") == 1
    assert stage.session.phase is Phase.LISTENING


def test_a_second_word_soon_after_interrupts() -> None:
    stage, _ = talking()
    word(stage, 1, 400)
    stage.now += 1.0

    assert cmd.ClearSpeech() in word(stage, 2, 400)
    assert stage.session.phase is Phase.THINKING
    assert cmd.DropUtterance(2) not in stage.asked


def test_a_second_word_long_after_is_listening_too() -> None:
    stage, _ = talking()
    word(stage, 1, 400)
    stage.now += 3.0

    assert cmd.ClearSpeech() not in word(stage, 2, 400)


def test_mhm_right_okay_is_listening_however_often_it_is_said() -> None:
    stage, _ = talking()

    for utterance in range(1, 6):
        assert cmd.ClearSpeech() not in word(stage, utterance, 340)
        stage.now += 0.3


def test_a_protected_phrase_is_heard_to_its_end() -> None:
    stage = Stage(protected_phrases=frozenset({"still-there"})).greeted()
    stage.wait(10.5)
    assert cmd.Phrase.STILL_THERE in stage.phrases()

    assert [] == stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))
    assert [] == stage.tell(ev.SpeechAccepted(0, 450))


def test_a_pause_over_nothing_is_nothing() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))

    assert [] == stage.tell(ev.SpeechPaused(0, 300), ev.SpeechResumed(0))
    assert stage.session.phase is Phase.UPLOADING


def test_who_answers_a_protected_phrase_and_goes_on_after_it_is_heard() -> None:
    stage = Stage(protected_phrases=frozenset({"still-there"})).greeted()
    [prompt] = [one for one in stage.wait(10.5) if isinstance(one, cmd.SayPhrase)]
    stage.tell(ev.PlaybackBegan(prompt.item))
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240), ev.SpeechAccepted(0, 450))

    assert cmd.StartTurn(2, (0,)) in stage.tell(ev.PlaybackDrained(prompt.item, 900))
    assert stage.session.phase is Phase.UPLOADING


def test_who_begins_over_a_protected_phrase_is_heard_after_it() -> None:
    stage = Stage(barge_in=False).greeted()
    [prompt] = [one for one in stage.wait(10.5) if isinstance(one, cmd.SayPhrase)]
    stage.tell(ev.PlaybackBegan(prompt.item), ev.SpeechStarted(0))
    stage.tell(ev.PlaybackDrained(prompt.item, 900))

    assert cmd.StartTurn(2, (0,)) in stage.tell(ev.SpeechAccepted(0, 240))


def test_listening_said_aloud_is_dated_when_it_was_said() -> None:
    stage, item = talking()
    word(stage, 1, 360)
    said_at = stage.now
    stage.now += 9.0
    stage.session.record.note(stage.now, "something-else")
    stage.tell(ev.ReplyCompleted(1, "m", "i", "t", ends=False), ev.TurnClosed(1))
    stage.tell(ev.PlaybackDrained(item, 4000, "t"))

    events = stage.session.record.events
    assert [at for at, kind, _ in events if kind == "back-channel"] == [said_at]
    assert [at for at, _, _ in events] == sorted(at for at, _, _ in events)


def test_a_question_that_was_not_heard_to_its_end_sets_no_patience() -> None:
    stage, _ = talking()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Fine. What is your number?", ends=False))
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 450))

    told = [one.ms for one in stage.asked if isinstance(one, cmd.SetPatience)]
    assert told == [1060, 660]
