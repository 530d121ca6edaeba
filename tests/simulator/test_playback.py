"""The playback buffer's rules, in the words of the carrier's documentation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.playback import HoleFinder, Playback, Underrun
from tests.simulator.switchboard import tone

LOUD = tone(20)
QUIET = bytes([0xFF]) * 160


def ticks(playback: Playback, count: int) -> list[str]:
    return [name for _ in range(count) for name in playback.tick().marks]


def test_a_mark_comes_back_when_what_was_queued_before_it_has_been_played():
    playback = Playback()
    playback.play(bytes(320))
    assert playback.mark("m") == ()

    assert ticks(playback, 2) == []
    assert ticks(playback, 1) == ["m"]


def test_a_mark_comes_back_at_once_when_nothing_is_queued():
    assert Playback().mark("m") == ("m",)


def test_a_mark_waits_for_the_frame_that_is_sounding():
    playback = Playback()
    playback.play(bytes(160))
    playback.tick()

    assert playback.mark("m") == ()
    assert ticks(playback, 1) == ["m"]


def test_clear_gives_back_all_pending_marks_in_order_and_silences_the_speaker():
    playback = Playback()
    playback.play(bytes(800))
    playback.mark("first")
    playback.play(bytes(800))
    playback.mark("second")
    playback.tick()

    assert playback.clear() == ("first", "second")
    assert playback.tick().frame is None
    assert playback.mark("third") == ("third",)


def test_the_end_of_a_sound_is_filled_up_and_told():
    playback = Playback()
    playback.play(b"\x10" * 200)
    playback.tick()
    last = playback.tick()

    assert last.frame == b"\x10" * 40 + b"\xff" * 120
    assert last.short
    assert playback.tick().frame is None


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=700),
            st.just("mark"),
            st.just("clear"),
            st.integers(1, 6),
        ),
        max_size=60,
    )
)
def test_any_order_plays_every_byte_once_and_echoes_every_mark_once_in_order(steps):
    playback = Playback()
    sent: list[str] = []
    echoed: list[str] = []
    expected, heard = bytearray(), bytearray()
    for step in [*steps, 10**4]:
        match step:
            case bytes():
                playback.play(step)
                expected += step
            case "mark":
                sent.append(str(len(sent)))
                echoed += playback.mark(sent[-1])
            case "clear":
                del expected[len(heard) :]
                echoed += playback.clear()
            case int():
                for _ in range(step):
                    before = playback.queued_ms
                    played = playback.tick()
                    echoed += played.marks
                    if played.frame is None:
                        break
                    taken = 160 if not played.short else len(expected) - len(heard)
                    heard += played.frame[:taken]
                    assert playback.queued_ms <= before
                else:
                    continue
    echoed += playback.tick().marks

    assert heard == expected
    assert echoed == sent


def test_a_hole_inside_a_word_is_an_underrun():
    finder = HoleFinder()
    frames = [LOUD, None, None, None, LOUD]

    assert [finder.tick(20 * n, frame) for n, frame in enumerate(frames)] == [
        *[None] * 4,
        Underrun(at_ms=20, gap_ms=60),
    ]


def find(frames: list[bytes | None], *, excuse: bool = False) -> list[Underrun]:
    finder, found = HoleFinder(), []
    for number, frame in enumerate(frames):
        if excuse and frame is None:
            finder.excuse()
        found.append(finder.tick(20 * number, frame))
    return [underrun for underrun in found if underrun]


def test_what_is_no_underrun():
    assert find([LOUD, None, None, LOUD]) == [], "up to 40 ms nobody hears"
    assert find([LOUD, QUIET, None, None, None, LOUD]) == [], "a pause was only lengthened"
    assert find([LOUD, *[None] * 60, LOUD]) == [], "two utterances"
    assert find([LOUD, *[None] * 5, LOUD], excuse=True) == [], "the caller was speaking"
    assert find([None, None, None, LOUD]) == [], "nothing had been said yet"
