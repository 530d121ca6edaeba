"""The two rules about conversations, under any order of calls."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from gateway.clock import SystemClock
from gateway.sandbox.agent import Agent, load_script
from gateway.sandbox.conversations import Conversations, Done, Turn
from gateway.sandbox.errors import Refusal
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.records import Records
from gateway.sandbox.roles import GUEST
from gateway.sandbox.tokens import Identity

USERS = st.sampled_from([Identity("sandbox", name, GUEST) for name in ("ada", "bob")])
SERVICES = st.sampled_from(["a" * 24, "b" * 24])
AGENT = Agent(load_script(None))
BODIES = st.sampled_from(["talk", "end", "fail"])


def _attempt(call: Callable[[], Turn]) -> Turn | int:
    """The turn, or the status it was refused with."""
    try:
        return call()
    except Refusal as refusal:
        return refusal.status


class AnyOrder(RuleBasedStateMachine):
    """Creates, turns and finishes, overlapping as they like; each either refused or carried out."""

    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.house = Conversations(SystemClock(), SandboxOptions(), AGENT, Records(None))
        self.open: list[Turn] = []

    @rule(target=ids, who=USERS, service=SERVICES)
    def create(self, who: Identity, service: str) -> str:
        related = [c for c in self.house if (c.user_id, c.service_id) == (who.user, service)]
        busy, unfinished = (any(c.running for c in related), any(not c.finished for c in related))
        turn = _attempt(lambda: self.house.start(who, service, "release", {}))

        assert turn == 409 if busy else turn == 400 if unfinished else isinstance(turn, Turn)
        return self._opened(turn)

    @rule(who=USERS, conversation=ids)
    def interact(self, who: Identity, conversation: str) -> None:
        turn = _attempt(lambda: self.house.resume(who, conversation))

        assert isinstance(turn, Turn) or turn in {403, 404, 409}
        self._opened(turn)

    @rule(who=USERS, conversation=ids)
    def finish(self, who: Identity, conversation: str) -> None:
        turn = _attempt(lambda: self.house.closing(who, conversation))

        assert isinstance(turn, Turn) or turn in {403, 404, 409}
        if isinstance(turn, Turn):
            with turn:
                self.house.finish(turn)

    def _opened(self, turn: Turn | int) -> str:
        if isinstance(turn, int):
            return "0" * 24
        self.open.append(turn)
        return turn.conversation.id

    @rule(body=BODIES, which=st.integers(0, 5))
    def end_a_running_call(self, body: str, which: int) -> None:
        if not self.open:
            return
        turn = self.open.pop(which % len(self.open))
        with turn:
            if body != "fail":
                said = turn.message("agent-message", "hello", voice=False)
                done = Done("greeting", "", AGENT.greet())
                turn.commit(done, [said], finished=body == "end")

    @invariant()
    def one_unfinished_conversation_per_user_and_service(self) -> None:
        unfinished = [(c.user_id, c.service_id) for c in self.house if not c.finished]
        assert len(unfinished) == len(set(unfinished))

    @invariant()
    def a_call_runs_exactly_where_one_is_open(self) -> None:
        running = sorted(c.id for c in self.house if c.running)
        assert running == sorted(turn.conversation.id for turn in self.open)

    @invariant()
    def every_idle_conversation_has_something_stored(self) -> None:
        assert all(c.messages for c in self.house if not c.running)


TestAnyOrder = AnyOrder.TestCase
