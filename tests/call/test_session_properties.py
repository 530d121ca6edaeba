"""Whatever happens, in whatever order: the core keeps its promises."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.policy import Policy
from gateway.call.record import CallRecord, TurnRecord
from gateway.call.session import CallSession
from gateway.ids import ConversationId, StreamSid
from tests.support.world import World, make_record


def long_life(seed: int) -> list[int]:
    dice = Random(seed)
    return [dice.randint(1, 100_000) for _ in range(300)]


# short lives shrink well; only long ones get far into a conversation
CHOICES = st.lists(st.integers(1, 100_000), max_size=200) | st.integers(0, 2**32).map(long_life)
POLICIES = st.builds(
    Policy,
    merge_ms=st.sampled_from([0, 400]),
    barge_in=st.booleans(),
    protect_greeting=st.booleans(),
    filler_after_ms=st.sampled_from([None, 1000]),
    prompts=st.integers(0, 2),
    rating=st.booleans(),
    reconnect_seconds=st.sampled_from([2.0, 10.0, 60.0]),
)


@st.composite
def left_behind(draw: st.DrawFn) -> CallRecord | None:
    """What a lost process wrote of the call before; None: the call is new."""
    if draw(st.booleans()):
        return None
    record = make_record()
    if draw(st.booleans()):
        record.conversation_id, record.conversation_state = "c-before", "open"
        record.turns += [TurnRecord(index, "voice") for index in range(draw(st.integers(0, 3)))]
    record.answered_at = draw(st.sampled_from([None, 0.0]))
    record.end_reason = draw(st.sampled_from([None, None, "silence", "transfer", "agent-ended"]))
    if record.end_reason == "transfer":
        record.transfer_to = "+15550003333"
    return record


def live(world: World, choices: list[int]) -> None:
    for choice in choices:
        world.step(choice)
        if world.session.phase is Phase.ENDED:
            break


@settings(max_examples=400, deadline=None)
@given(POLICIES, CHOICES, left_behind())
def test_every_life_ends_with_every_conversation_finished_once(
    policy: Policy, choices: list[int], left: CallRecord | None
) -> None:
    world = World(policy, left=left)
    live(world, choices)
    world.hang_up_and_settle()


@settings(max_examples=300, deadline=None)
@given(POLICIES, CHOICES, left_behind())
def test_the_caller_never_waits_for_nothing(
    policy: Policy, choices: list[int], left: CallRecord | None
) -> None:
    world = World(policy, left=left)
    live(world, choices)

    waiting = world.session.phase not in {Phase.ENDED, Phase.SETTLING}
    quiet = not world.queue and world.utterance is None and not world.cleared
    external = world.finishing is not None or world.freeing or world.wire is not None
    if waiting and quiet and not external:
        assert world.session.deadline is not None, "\n".join(world.trace)


ANY_EVENT = st.one_of(
    st.builds(ev.StreamOpened, st.just(StreamSid("MZ1"))),
    st.builds(ev.CallerGone),
    st.builds(ev.LineLost),
    st.builds(ev.LineClosed),
    st.builds(ev.TokenRenewed),
    st.builds(ev.DigitPressed, st.sampled_from("0123456789*#A")),
    st.builds(ev.SpeechStarted, st.integers(0, 3)),
    st.builds(ev.SpeechAccepted, st.integers(0, 3), st.sampled_from([240, 450])),
    st.builds(ev.SpeechPaused, st.integers(0, 3), st.sampled_from([120, 300, 440])),
    st.builds(ev.SpeechResumed, st.integers(0, 3)),
    st.builds(ev.LineMeasured, st.floats(-64, -30), st.just(None), st.just(None)),
    st.builds(ev.SpeechEnded, st.integers(0, 3), st.integers(0, 900), st.just(0.0), st.just(1.0)),
    st.builds(ev.UtteranceFull, st.integers(0, 3), st.integers(0, 3), st.just(0.0), st.just(1.0)),
    st.builds(ev.ConversationOpened, st.just(ConversationId("c"))),
    st.builds(ev.BodySent, st.integers(0, 3)),
    st.builds(ev.CallerUnderstood, st.integers(0, 3), st.just("m"), st.just("text")),
    st.builds(ev.FillerReady, st.integers(0, 3), st.just(0)),
    st.builds(ev.ReplyAudio, st.integers(0, 3)),
    st.builds(
        ev.ReplyCompleted,
        st.integers(0, 3),
        st.just("m"),
        st.just("i"),
        st.just("t"),
        st.booleans(),
    ),
    st.builds(ev.ConversationEnded, st.integers(0, 3)),
    st.builds(ev.TurnClosed, st.integers(0, 3)),
    st.builds(
        ev.TurnClosed,
        st.integers(0, 3),
        st.builds(
            ev.Failure, st.sampled_from(ev.FailureKind), st.sampled_from([None, 400, 401, 409, 503])
        ),
    ),
    st.builds(ev.UserFreed, st.booleans(), st.booleans()),
    st.builds(ev.ConversationSettled, st.sampled_from(["finished", "none", "finish-failed"])),
    st.builds(ev.PlaybackBegan, st.integers(0, 5)),
    st.builds(ev.PlaybackHeard, st.integers(0, 5), st.just(1.0)),
    st.builds(ev.PlaybackStarved, st.integers(0, 5)),
    st.builds(ev.PlaybackDrained, st.integers(0, 5), st.just(100)),
    st.builds(ev.PlaybackCleared, st.integers(0, 5), st.just(100)),
    st.builds(ev.EndRequested, st.sampled_from(["drain", "operator"])),
    st.builds(ev.TransferRequested, st.just("+15550003333")),
    st.builds(ev.TakenOver),
    st.builds(ev.Broken),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(ANY_EVENT, st.floats(0, 20)), max_size=80))
def test_no_order_of_events_raises(life: list[tuple[ev.Event, float]]) -> None:
    session = CallSession(make_record(), Policy())
    now = 0.0
    session.begin(now)
    for event, seconds in life:
        now += seconds
        session.handle(event, now)
        session.wake(now)

    assert (session.phase is Phase.ENDED) <= (session.deadline is None)
