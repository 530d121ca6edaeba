"""Our own voice as the core knows it: what was asked to be said, in order, and whether it is held."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.call.commands import (
    ClearSpeech,
    Command,
    HoldSpeech,
    Phrase,
    ResumeSpeech,
    SayFiller,
    SayPhrase,
    SayReply,
)


class Kind(Enum):
    """What an item of playback is."""

    REPLY = "reply"
    FILLER = "filler"
    PHRASE = "phrase"
    COMFORT = "comfort"


@dataclass(slots=True)
class Item:
    """One thing said or to be said."""

    id: int
    kind: Kind
    turn: int | None = None
    phrase: Phrase | None = None
    began: bool = False
    starved: bool = False


class Voice:
    """The queue of playback items; appends the commands that make the bridge's mouth follow it."""

    def __init__(self, out: list[Command]) -> None:
        self._out = out
        self._next = 0
        self._known: dict[int, Item] = {}
        self.queue: list[Item] = []
        self.held = False

    @property
    def audible(self) -> bool:
        """Words are playing or queued (the comfort sound is not words)."""
        return any(item.kind is not Kind.COMFORT for item in self.queue)

    @property
    def front(self) -> Item | None:
        """What is playing now; a reply that ran dry lets what is behind it play."""
        return self.queue[0] if self.queue else None

    @property
    def quiet(self) -> bool:
        """Nothing is playing: the queue is empty, or all there is of it was played."""
        return all(item.starved for item in self.queue)

    def find(self, item: int) -> Item | None:
        """An item that is queued, or was cleared and has not been accounted for yet."""
        return self._known.get(item)

    def reply(self, turn: int) -> Item:
        item = self._add(Kind.REPLY, turn=turn)
        self._out.append(SayReply(item.id, turn))
        return item

    def filler(self, turn: int, filler: int) -> Item:
        item = self._add(Kind.FILLER, turn=turn)
        self._out.append(SayFiller(item.id, turn, filler))
        return item

    def phrase(self, phrase: Phrase, *, first: bool = False) -> Item:
        kind = Kind.COMFORT if phrase is Phrase.COMFORT else Kind.PHRASE
        item = self._add(kind, phrase=phrase, first=first)
        self._out.append(SayPhrase(item.id, phrase, first))
        return item

    def hold(self) -> None:
        if not self.held:
            self.held = True
            self._out.append(HoldSpeech())

    def resume(self) -> None:
        if self.held:
            self.held = False
            self._out.append(ResumeSpeech())

    def clear(self) -> None:
        """Drop everything; items stay known until the bridge reports how much of them was heard."""
        if self.queue:
            self._out.append(ClearSpeech())
            self.queue.clear()
        self.resume()

    def stop_comfort(self) -> None:
        """Words are coming: the comfort sound gives way."""
        if self.queue and not self.audible:
            self.clear()

    def done(self, item: int) -> Item | None:
        """The bridge has accounted for this item: played to its end, or cleared."""
        known = self._known.pop(item, None)
        if known is not None and known in self.queue:
            self.queue.remove(known)
            if not self.queue:
                self.resume()
        return known

    def _add(
        self,
        kind: Kind,
        *,
        turn: int | None = None,
        phrase: Phrase | None = None,
        first: bool = False,
    ) -> Item:
        item = Item(self._next, kind, turn, phrase)
        self._next += 1
        self._known[item.id] = item
        self.queue.insert(0 if first else len(self.queue), item)
        return item
