"""The scripted caller: whose turn it is, interruptions, keys, patience. Time is passed in."""

from __future__ import annotations

from gateway.simulator.caller import Act, Caller, Moment
from gateway.simulator.plan import CallPlan, Habits, Item, Keys, Utterance
from tests.simulator.switchboard import tone

LOUD = tone(20)
SILENCE = bytes([0xFF]) * 160


class Life:
    """A caller living through what the agent plays, 20 ms at a time."""

    def __init__(self, *items: Item, hang_up_after: float | None = None, **habits: float):
        self.told: list[Moment] = []
        settings = Habits(**{"doubt_ms": 0} | habits)  # type: ignore[arg-type]
        plan = CallPlan(items=items, habits=settings, hang_up_after=hang_up_after)
        self.caller = Caller(plan, self.told.append)
        self.now = 0
        self.acts: list[Act] = []

    def hears(self, frame: bytes | None, ms: int) -> list[Act]:
        """The agent plays this for so long; what the caller did meanwhile."""
        acts = [self.caller.step(self.now + at, frame) for at in range(0, ms, 20)]
        self.now += ms
        self.acts += acts
        return acts

    @property
    def hung_up(self) -> bool:
        return any(act.hangs_up for act in self.acts)


def said(acts: list[Act]) -> int:
    """Milliseconds of speech."""
    return 20 * sum(act.voiced for act in acts)


def speech(ms: int, *, interrupts: bool = False) -> Utterance:
    return Utterance(tone(ms), text="words", interrupts=interrupts)


def test_the_caller_waits_until_the_agent_has_been_silent_for_700_ms():
    life = Life(speech(200))

    assert said(life.hears(None, 3000)) == 0, "nobody has spoken yet"
    assert said(life.hears(LOUD, 400)) == 0
    assert said(life.hears(None, 680)) == 0
    assert said(life.hears(None, 300)) == 200


def test_few_words_may_be_a_filler_so_the_caller_waits_for_more():
    life = Life(speech(200), doubt_ms=1000)
    life.hears(LOUD, 1400)
    assert said(life.hears(None, 1400)) == 0
    life.hears(LOUD, 400)
    assert said(life.hears(None, 1000)) == 200, "now that was an answer"


def test_a_pause_in_the_agents_sound_is_no_turn():
    life = Life(speech(200))
    life.hears(LOUD, 400)

    assert said(life.hears(SILENCE, 1500)) == 0, "silence that is being played"
    assert said(life.hears(LOUD, 400)) == 0
    assert said(life.hears(None, 660)) == 0


def test_an_agent_that_streams_silence_for_ever_has_finished_after_two_seconds():
    life = Life(speech(200))
    life.hears(LOUD, 400)

    assert said(life.hears(SILENCE, 2400)) == 200


def test_a_click_is_no_answer():
    life = Life(speech(200), patience_seconds=3)
    life.hears(LOUD, 60)

    assert said(life.hears(None, 4000)) == 0
    assert life.hung_up
    assert life.caller.gave_up == "no agent sound within 3 s after the call was answered"


def test_items_are_said_in_order_each_in_its_turn():
    life = Life(speech(200), Keys("12#"), speech(100))
    life.hears(LOUD, 400)
    life.hears(None, 1000)
    assert [act.digit for act in life.hears(None, 2000) if act.digit] == [], "not answered yet"
    life.hears(LOUD, 400)
    assert [act.digit for act in life.hears(None, 2000) if act.digit] == ["1", "2", "#"]
    life.hears(LOUD, 400)
    assert said(life.hears(None, 1000)) == 100

    assert [item.until_ms is not None for item in life.caller.said] == [True] * 3
    assert [item.answered for item in life.caller.said] == [True, True, False]


def test_an_interruption_begins_while_the_agent_is_talking():
    life = Life(speech(300, interrupts=True))
    acts = life.hears(LOUD, 2000)

    begun = [at * 20 for at, act in enumerate(acts) if act.begins]
    assert begun == [1200]
    assert acts[60].interrupts
    assert life.caller.said[0].barged_in


def test_an_agent_that_stopped_too_early_is_answered_normally():
    life = Life(speech(300, interrupts=True))
    life.hears(LOUD, 800)

    assert said(life.hears(None, 1200)) == 300
    assert not life.caller.said[0].barged_in


def test_keys_can_interrupt_too():
    life = Life(Keys("0", interrupts=True))
    acts = life.hears(LOUD, 1400)

    assert [at * 20 for at, act in enumerate(acts) if act.digit] == [1200]
    assert not any(act.interrupts for act in acts), "that is for speech alone"


def test_the_wait_for_an_answer_is_measured_from_the_last_voiced_frame():
    quiet_end = Utterance(tone(200) + SILENCE * 10)
    life = Life(quiet_end)
    life.hears(LOUD, 400)
    life.hears(None, 700 + 200 + 300)
    life.hears(LOUD, 300)

    (item,) = life.caller.said
    assert item.from_ms == 1100
    assert item.until_ms == 1300
    assert item.reply_after_ms == 300
    assert item.reply_heard_ms == 300


def test_the_old_speech_under_an_interruption_is_no_answer_to_it():
    life = Life(speech(400, interrupts=True))
    life.hears(LOUD, 1200 + 400)

    assert life.caller.said[0].reply_heard_ms == 0


def test_the_agents_silence_is_timed_from_the_interruption():
    life = Life(speech(400, interrupts=True))
    life.hears(LOUD, 1400)
    life.hears(None, 100)
    assert life.caller.said[0].silent_after_ms == 200

    life.hears(LOUD, 60)
    assert life.caller.said[0].silent_after_ms is None, "it goes on talking over the caller"

    life.hears(None, 200)
    life.hears(LOUD, 400)
    assert life.caller.said[0].silent_after_ms == 360, "what comes later is the answer"


def test_a_clear_is_timed_from_the_interruption():
    life = Life(speech(400, interrupts=True))
    life.hears(LOUD, 1500)
    life.caller.cleared(1620)

    assert life.caller.said[0].cleared_after_ms == 420


def test_the_caller_lingers_and_hangs_up_when_all_is_said():
    life = Life(linger_seconds=1)
    life.hears(LOUD, 400)
    life.hears(None, 980)
    assert not life.hung_up

    life.hears(None, 40)
    assert life.hung_up
    assert life.caller.gave_up is None


def test_a_caller_told_to_hang_up_does_so_in_the_middle_of_a_word():
    life = Life(speech(1000), hang_up_after=1.5)
    life.hears(LOUD, 400)
    life.hears(None, 1080)
    assert not life.hung_up

    assert life.hears(None, 40)[-1].hangs_up
    assert not life.caller.finished


def test_a_caller_whose_line_was_lost_stays():
    life = Life(speech(200), hang_up_after=0.1)
    life.hears(None, 100)
    life.caller.stay()
    life.hears(LOUD, 400)

    assert said(life.hears(None, 1000)) == 200


def test_the_same_item_twice_is_said_twice():
    item = speech(100)
    life = Life(item, item)
    for _ in range(3):
        life.hears(LOUD, 400)
        life.hears(None, 1000)

    assert len(life.caller.said) == 2


def test_an_empty_recording_is_said_too():
    life = Life(Utterance(b""))
    life.hears(LOUD, 400)
    life.hears(None, 1000)

    assert life.caller.finished


def test_the_agents_stretches_of_speech_are_noted():
    life = Life(quiet_ms=500)
    life.hears(None, 200)
    life.hears(LOUD, 400)
    life.hears(None, 300)
    life.hears(LOUD, 300)
    life.hears(None, 800)
    life.hears(LOUD, 100)
    life.caller.ear.finish(life.now)

    assert [(s.from_ms, s.until_ms) for s in life.caller.ear.stretches] == [
        (200, 1200),
        (2000, 2100),
    ]
    assert life.caller.greeted_after_ms == 200


def test_a_new_stream_has_the_unanswered_words_said_again_and_answered_ones_not():
    life = Life(speech(200), speech(200))
    life.hears(LOUD, 400)
    life.hears(None, 1000)
    life.hears(LOUD, 400)  # the first is answered, ...
    life.hears(None, 1000)  # ... the second only said
    assert len(life.caller.said) == 2
    life.caller.reconnected(life.now)
    assert (len(life.caller.said), life.caller.repeated) == (1, 1)

    life.hears(LOUD, 400)
    life.hears(None, 1000)
    life.hears(LOUD, 400)
    assert [one.answered for one in life.caller.said] == [True, True]
    life.caller.reconnected(life.now)
    assert life.caller.repeated == 1
