"""The promises, checked as the run goes and at its end."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gateway.call.commands import Phrase
from gateway.store import SETTLED_STATES
from tests.simulation import sound
from tests.simulation.api import Api, Conversation, Finish, Interaction, Witness
from tests.simulation.carrier import Call, Judged
from tests.simulation.network import Connection
from tests.simulation.plan import Plan
from tests.simulation.replica import PHRASES, Replica
from tests.simulation.sound import Voice
from tests.simulation.stream import Gap, Stream
from tests.simulation.world import World

AHEAD_SLACK: Final = 0.05
LONGEST_REPLY_HELD: Final = 130.0
MOST_UTTERANCES: Final = 40
MOST_ASKED: Final = 40
"""Requests of one kind for one conversation."""
WAKING: Final = 2.0
"""Seconds in which a process that stood still may end the request it was in."""
HEARTBEAT: Final = 12.0
_STATES: Final = ", ".join(f"'{state}'" for state in (*SETTLED_STATES, "finish-failed"))
_UNSETTLED: Final = f"""
SELECT count(*) FROM calls WHERE NOT (ended = 1 AND conversation_state IN ({_STATES}))
"""
_LEAKED: Final = f"""
SELECT leases.user_id, leases.call_sid FROM leases
LEFT JOIN calls ON calls.call_sid = leases.call_sid
WHERE leases.call_sid IS NOT NULL AND calls.call_sid IS NOT NULL
  AND NOT (calls.ended = 1 AND calls.conversation_state IN ({_STATES}))
"""
_OWED: Final = f"""
SELECT call_sid, status, conversation_state FROM calls
WHERE replica = ? AND NOT (ended = 1 AND conversation_state IN ({_STATES}))
"""
_HELD: Final = "SELECT user_id, call_sid FROM leases WHERE call_sid IS NOT NULL"


class Judge:
    """Sees everything, forgives what faults excuse, and writes down the rest."""

    def __init__(self, world: World, plan: Plan, replicas: Callable[[], Mapping[str, Replica]]):
        self.world = world
        self.plan = plan
        self._replicas = replicas
        self._conversations: dict[str, Conversation] = {}
        self._interactions: dict[int, Interaction] = {}
        self._unheard: set[int] = set()
        self._calls: Mapping[str, Call] = {}
        self._asked: Counter[str] = Counter()
        self._interacting: dict[str, list[Connection]] = {}
        """Conversation to every connection on which something was said to it."""
        self._beats: dict[str, float] = {}
        self._sent: dict[str, set[int]] = {}
        """Stream to the replies whose sound was sent on it."""
        self._cut: dict[str, set[int]] = {}
        """Stream to the replies that were cleared on it."""
        self._last_phrase: dict[str, Phrase | None] = {}
        """Call to the phrase of ours that its caller heard last; None: the agent spoke after it."""
        silence = plan.settings.silence
        turns = plan.settings.turn_taking
        prompt = max(silence.prompt_after_ms, silence.hang_up_after_ms) / 1000
        endpoint = (turns.end_silence_ms + 800 + turns.merge_ms) / 1000
        air = silence.max_dead_air_ms / 1000
        self._longest_wait = endpoint + air + 0.6
        self._longest_silence = max(prompt, 6.0) + endpoint + 2.5

    # ------------------------------------------------------------ what the API sees

    def witness(self) -> Witness:
        return Witness(self._creates, self._interacts, self._understood, self._finishes)

    def know(self, api: Api, calls: Mapping[str, Call]) -> None:
        """Whose truth to judge by."""
        self._calls = calls
        self._conversations, self._interactions = api.conversations, api.interactions
        self._unheard = api.unheard

    def _creates(self, user: str, connection: Connection) -> None:
        self._count(f"create for {user}", 200)
        for conversation in self._conversations.values():
            if conversation.user == user:
                self._nothing_open(conversation, connection, "create")

    def _interacts(self, conversation: Conversation, connection: Connection) -> None:
        self._count(f"interact {conversation.id}", MOST_ASKED)
        self._interacting.setdefault(conversation.id, []).append(connection)
        self._nothing_open(conversation, connection, "interact")
        for finish in conversation.finishes:
            if finish.connection.client_open and finish.process.running and connection.client_open:
                self.world.violated("asked-while-finishing", f"interact on {conversation.id[-4:]}")

    def _nothing_open(self, conversation: Conversation, connection: Connection, what: str) -> None:
        """At most one interaction, and nothing is asked while it is open."""
        for one in conversation.interactions:
            if (
                one.connection is not connection
                and connection.client_open
                and one.connection.client_open
                and one.process.running
            ):
                self.world.violated(
                    "two-open",
                    f"{what} on {conversation.id[-4:]} by {connection.process.name} while"
                    f" interaction {one.number} of {one.process.name} is open",
                )

    def _understood(self, conversation: Conversation, interaction: Interaction) -> None:
        """What was said in a turn that the API voided is said again in the next."""
        if not interaction.connection.client_open:
            return  # given up half-way: it is no turn
        owed: dict[int, float] = {}
        for earlier in conversation.interactions:
            if earlier is interaction or earlier.process is not interaction.process:
                continue
            for one in earlier.utterances:
                # said again; whether they were lost again is known of that one
                owed.pop(one, None)
                if earlier.voided and not earlier.crossed:
                    owed[one] = earlier.voided_at
        for silent in self._unanswered(conversation, interaction):
            for one in sound.heard_in(silent.recording):
                if owed.get(one, silent.began) < silent.began:
                    del owed[one]
        missing = owed.keys() - set(interaction.utterances)
        if missing:
            self.world.violated(
                "utterance-lost",
                f"interaction {interaction.number} does not repeat {sorted(missing)}",
            )

    def _unanswered(
        self, conversation: Conversation, interaction: Interaction
    ) -> Iterator[Connection]:
        """Requests that were sent whole, and left after a long wait: the API may have made turns of them."""
        known = {one.connection for one in conversation.interactions}
        for one in self._interacting[conversation.id]:
            whole = one.ended and not one.answered and one.closed_at is not None
            if whole and one not in known and one.process is interaction.process:
                yield one

    def _finishes(self, conversation: Conversation, finish: Finish) -> None:
        self._count(f"finish {conversation.id}", MOST_ASKED)
        self._nothing_open(conversation, finish.connection, "finish")
        for earlier in conversation.finishes:
            if earlier.connection.client_open and earlier.process.running:
                self.world.violated(
                    "finishing-twice",
                    f"{conversation.id[-4:]} by {earlier.process.name} and {finish.process.name}",
                )
        if conversation.finished_by == "finish":
            # one that stood still in the middle of a request goes on with it, and hears 409
            woke = [
                self._stopped(one.process.name, one.at - WAKING)
                for one in (*conversation.finishes, finish)
            ]
            if not any(woke) and all(
                earlier.known and not self._stopped(earlier.process.name, earlier.at)
                for earlier in conversation.finishes
            ):
                self.world.violated(
                    "finished-twice", f"{conversation.id[-4:]} by {finish.process.name}"
                )
        elif conversation.finished_by == "auto":
            last = next(one for one in conversation.interactions if one.ends)
            began = self.world.now() - (self.world.loop.time() - last.connection.began)
            # one that stood still lost the call, and what it knew of it with the call
            lost = self._stopped(finish.process.name, began)
            if last.connection.read_to_end and finish.process is last.process and not lost:
                self.world.violated("finished-after-end", f"{conversation.id[-4:]}")

    def _stopped(self, name: str, since: float) -> bool:
        """The process was stopped after that time (seconds of the run)."""
        replica = self._replicas().get(name)
        if replica is None:
            return True
        now = self.world.loop.time()
        return replica.stopped_within(now - (self.world.now() - since), now) > 0

    def _count(self, what: str, most: int) -> None:
        self._asked[what] += 1
        if self._asked[what] == most:
            self.world.violated("without-bound", f"{most} times {what}")

    # ------------------------------------------------------------ what the carrier sees

    def judged(self) -> Judged:
        return Judged(
            self._heard,
            self._played,
            self._cleared,
            self._ahead,
            self._over,
            self._answered,
            self._refused,
        )

    def _heard(self, call: Call, stream: Stream, gap: Gap) -> None:
        """Neither side made a sound for so long."""
        replica = self._replicas()[stream.process.name]
        stopped = replica.stopped_within(gap.begins, gap.ends)
        length = gap.ends - gap.begins - stopped
        if stopped and not stream.process.running:
            return
        if stream.deaf or gap.begins < stream.disturbed_until:
            return
        longest, rule = self._longest_silence, "dead-air"
        if (
            gap.after == "caller"
            and gap.then == "agent"
            and self._was_words(call)
            and (self.plan.settings.turn_taking.max_utterance_ms > 10_000)
        ):
            longest, rule = self._longest_wait, "dead-air-after-words"
        if gap.after == "start" and gap.then == "agent":
            longest, rule = self._longest_wait, "dead-air-at-start"
        if length > longest:
            self.world.violated(
                rule,
                f"{call.sid} heard nothing for {length:.1f} s"
                f" (at most {longest:.1f}) after {gap.after}, then {gap.then}",
            )

    def _was_words(self, call: Call) -> bool:
        """The caller's last sound was speech that the service understood.

        What is said before the greeting is nobody's turn.
        """
        if not any(self._sent.get(stream.sid) for stream in call.streams):
            return False
        last = call.utterances[-1]
        return last.frames >= 30 and not last.over_agent and last.number not in self._unheard

    def _played(self, call: Call, stream: Stream, voice: Voice | None, number: int) -> None:
        match voice:
            case Voice.AGENT:
                self._last_phrase[call.sid] = None
                if number in self._cut.get(stream.sid, ()):
                    self._judge_return(call, number)
                self._sent.setdefault(stream.sid, set()).add(number)
            case Voice.PHRASE:
                self._last_phrase[call.sid] = PHRASES[number]
                self.world.facts[f"phrase {PHRASES[number].value}"] += 1
            case _:
                pass

    def _judge_return(self, call: Call, number: int) -> None:
        interaction = self._interactions[number]
        if not interaction.ends:
            self._cut[call.streams[-1].sid].discard(number)
            self.world.violated(
                "played-after-clear", f"{call.sid}: interaction {number} is heard after its clear"
            )

    def _cleared(self, call: Call, stream: Stream) -> None:
        self.world.facts["clears"] += 1
        self._cut.setdefault(stream.sid, set()).update(self._sent.get(stream.sid, ()))

    def _ahead(self, call: Call, stream: Stream, seconds: float) -> None:
        most = self.plan.settings.barge_in.lookahead_ms / 1000 + AHEAD_SLACK
        if seconds > most:
            self.world.violated("ahead", f"{call.sid}: {seconds:.2f} s of sound at the carrier")

    def _answered(self, call: Call, path: str, status: int, text: str) -> None:
        if status >= 500:
            self.world.violated("webhook", f"{call.sid} {path} answered {status}")
        nobody = not any(one.listening for one in self._replicas().values())
        if status == 0 and not nobody and not self._anybody_was_stopped():
            self.world.violated("webhook", f"{call.sid} {path} was not answered")
        if path == "/twilio/connected" and "<Say" in text and "<Pause" not in text:
            self._given_up(call)

    def _given_up(self, call: Call) -> None:
        """Where processes die and all else is well, another one goes on with the call."""
        faults = ("store-", "carrier-", "api-", "process-drain")
        excused = call.unwanted or self._anybody_was_stopped() or self._disturbed(*faults)
        if self.plan.aimed and not excused:
            self.world.violated(
                "given-up", f"{call.sid} was told goodbye, and nothing was in the way"
            )

    def _refused(self, call: Call, stream: Stream) -> None:
        """A token that was just given opens a stream."""
        renewed = (
            self.world.faults["carrier-webhook-twice"] or self.world.faults["carrier-answer-lost"]
        )
        excused = renewed or call.intruded or call.unwanted or call.over.done()
        if not excused and not self._disturbed("store-", "process-", "clock-"):
            self.world.violated("stream-refused", f"{call.sid}: {stream.sid}")

    def _disturbed(self, *kinds: str) -> bool:
        """A fault of these kinds has struck."""
        return any(n and kind.startswith(kinds) for kind, n in self.world.faults.items())

    def _parted(self, call: Call) -> None:
        """Whoever is cut off by a drain has heard that the call ends."""
        heard = [stream for stream in call.streams if stream.began and not stream.deaf]
        stopped = any(self._replicas()[one.process.name].stops for one in heard)
        ours = call.ended_by in {"rest", "document"} and not call.told
        # a line that had died meanwhile carries no goodbye
        if not ours or not heard or call.streams[-1].deaf or stopped or call.intruded:
            return
        if self._last_phrase.get(call.sid) is not Phrase.CLOSING:
            self.world.violated("parted-mute", f"{call.sid} was drained without a word")

    def _anybody_was_stopped(self) -> bool:
        return any(one.stops or one.stopped_from for one in self._replicas().values())

    def _over(self, call: Call) -> None:
        """The caller is told something, whoever ends the call."""
        streams = [stream for stream in call.streams if stream.began]
        if streams:
            self.world.facts["calls that connected"] += 1
        if call.ended_by == "caller" or call.told or call.unwanted:
            return
        sounded = any(stream.agent_sounded for stream in streams)
        excused = any(
            stream.deaf
            or not self._replicas()[stream.process.name].alive
            or self._replicas()[stream.process.name].stops
            for stream in call.streams
        )
        lost = any(stream.over.done() and stream.over.result() == "lost" for stream in streams)
        if not sounded and not excused and not lost and call.streams and not call.intruded:
            self.world.violated("told-nothing", f"{call.sid} ended without a word: {call.answers}")

    # ------------------------------------------------------------ what the store sees

    def tell(self, what: str, of: str, before: str, after: str) -> None:
        """A trigger of the database fires."""
        match what:
            case "status":
                self.world.note("store", of, before, after)
            case "beat":
                self._beats[of] = self.world.loop.time()
            case "owner":
                self.world.note("store", f"{of} goes from {before} to {after}")
                self._taken_over(of, before, after)
            case "end-reason" if before == "transfer":
                pass  # one for which nobody was there is done again when the caller is back
            case "end-reason":
                self.world.violated("end-reason", f"{of}: {before} became {after}")
            case "revived":
                self.world.violated("revived", f"{of} had ended, is {after}")
            case "leased-twice":
                self.world.violated("leased-twice", f"{of} from {before} to {after}")
            case "conversation":
                self.world.note("store", f"{of} conversation {before} becomes {after}")
            case _:
                raise AssertionError(what)

    def _taken_over(self, call_sid: str, before: str, after: str) -> None:
        old = self._replicas().get(before)
        if old is None or not old.process.running or old.status is not None:
            return
        stream = self._calls[call_sid].stream
        talks = (
            stream is not None and stream.up and not stream.deaf and stream.process is old.process
        )
        silent = self.world.loop.time() - self._beats.get(before, 0.0)
        if silent <= HEARTBEAT and talks:
            self.world.violated(
                "taken-from-the-living",
                f"{call_sid} of {before}, who speaks with its caller, went to {after}",
            )

    # ------------------------------------------------------------ from time to time

    def look(self) -> None:
        """Buffers and counts of every process."""
        for replica in self._replicas().values():
            if replica.switchboard is None or not replica.process.running:
                continue
            for bridge in replica.switchboard._calls:
                kept = len(bridge.ears.utterances)
                if kept > MOST_UTTERANCES:
                    self.world.violated("buffers", f"{bridge.record.call_sid}: {kept} utterances")
                if len(bridge.record.events) > 500:
                    self.world.violated("buffers", f"{bridge.record.call_sid}: events")

    # ------------------------------------------------------------ the end

    def exited(self, replica: Replica, database: sqlite3.Connection) -> None:
        """Status 0 says that nothing of it is owed."""
        for row in database.execute(_OWED, (replica.name,)) if replica.status == 0 else ():
            self.world.violated("exit-owing", f"{replica.name} owes {row[0]}: {row[1]}, {row[2]}")

    def settled(self, database: sqlite3.Connection) -> bool:
        """Nothing is owed any more."""
        return (
            not database.execute(_UNSETTLED).fetchone()[0]
            and not self._leaked(database)
            and not any(one.open for one in self._conversations.values())
        )

    def _leaked(self, database: sqlite3.Connection) -> list[str]:
        """Leases whose call is settled; one whose holder died before it could end it counts as free."""
        return [f"{row[0]} is leased to {row[1]}" for row in database.execute(_LEAKED)]

    def final(self, database: sqlite3.Connection, calls: Mapping[str, Call]) -> None:
        """What must be true when everything is over."""
        failed: set[str] = set()
        known: set[str] = set()
        for row in database.execute("SELECT * FROM calls ORDER BY number"):
            sid, state = row["call_sid"], row["conversation_state"]
            known |= {row["user_id"], row["conversation_id"]}
            if not row["ended"]:
                self.world.violated("never-ended", f"{sid} is {row['status']}")
            elif row["end_reason"] is None:
                self.world.violated("no-end-reason", f"{sid} {row['status']}")
            if state == "finish-failed":
                failed.add(row["conversation_id"] or row["user_id"])
                self.world.facts["finish-failed"] += 1
            elif state not in SETTLED_STATES:
                self.world.violated("owed", f"{sid} is {row['status']}, {state}")
            self.world.facts[f"ended {row['end_reason']}"] += 1
            if row["end_reason"] == "drain":
                self._parted(calls[sid])
        for lease in self._leaked(database):
            self.world.violated("lease", lease)
        if not self._disturbed("store-", "process-"):
            for row in database.execute(_HELD):
                self.world.violated("lease", f"{row[0]} is still leased to {row[1]}")
        for conversation in self._conversations.values():
            if not conversation.open or self._excused(conversation, failed, known):
                continue
            self.world.violated(
                "unfinished",
                f"{conversation.id[-4:]} of {conversation.user}"
                f" ({'named' if conversation.named else 'unnamed'})",
            )
        for call in calls.values():
            if not call.settled.done():
                self.world.violated("call-never-over", call.sid)
        for replica in self._replicas().values():
            if replica.status and not replica.drained_in_trouble:
                self.world.violated("exit", f"{replica.name} exits with {replica.status}")

    def _excused(self, conversation: Conversation, failed: set[str], known: set[str]) -> bool:
        """Whether nobody could have finished it."""
        if conversation.id in failed or (not conversation.named and conversation.user in failed):
            return True
        if not conversation.named and (conversation.too_late or self.world.faults["clock-step"]):
            return True  # one without a name is found by its time, which clocks that step hide
        # the store failed until the process that had opened it was dead
        died = not any(one.process.running for one in conversation.interactions)
        unknown = conversation.id not in known and conversation.user not in known
        return died and unknown and self._disturbed("store-")


class Complaints(logging.Handler):
    """Errors that the gateway logs are broken promises: it says so itself."""

    def __init__(self, world: World, *, facts: bool) -> None:
        super().__init__(logging.INFO if facts else logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        error = record.exc_info[1] if record.exc_info else None
        self._world.note("log", record.getMessage(), told, repr(error) if error else "")
        # an operator who asked while the store was away has been told so with 503
        if record.levelno >= logging.ERROR and record.getMessage() != "http.store_failed":
            self._world.violated("error-log", f"{record.getMessage()} {told} {error!r}")
