"""`make simulate-mutants`: bugs planted one at a time, each of which the simulation must find.

A mutant is the product with some lines exchanged. The exchange happens while a fresh interpreter imports
the module: nothing on disk changes, and nothing in the product knows of it. A text that is not found any
more is an error: a planted bug that is not planted proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SEEDS: Final = 1000
"""Within so many seeds each bug must have been found."""
FIRST: Final = 1


@dataclass(frozen=True, slots=True)
class Edit:
    """One exchange of text in a module."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug."""

    name: str
    what: str
    edits: tuple[Edit, ...]


def _one(name: str, what: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(name, what, (Edit(module, old, new),))


MUTANTS: Final = (
    Mutant(
        "finish-early",
        "the conversation is finished while an interaction on it is still open",
        (
            Edit(
                "gateway.call.exchange",
                "if self.connected is not None or self.freeing or not self.owed:",
                "if self.freeing or not self.owed:",
            ),
            Edit(
                "gateway.call.life",
                "if self.phase is not Phase.SETTLING or open_still:",
                "if self.phase is not Phase.SETTLING or self.exchange.freeing:",
            ),
        ),
    ),
    _one(
        "finish-forgotten-on-409",
        "a refused finish is taken for a finished conversation",
        "gateway.amigo.client",
        "if found is not None and found.is_finished:",
        "if found is not None:",
    ),
    _one(
        "lease-kept",
        "a user stays leased to a call that is over",
        "gateway.bridge.books",
        "await self._house.store.release_user(CallSid(record.call_sid), record.replica)",
        "pass",
    ),
    _one(
        "reply-after-clear",
        "what was cleared is sent again",
        "gateway.bridge.mouth",
        "        self._leaving.clear()\n        self._queue.clear()\n        self._epoch += 1",
        "        self._leaving.clear()\n        self._epoch += 1",
    ),
    _one(
        "two-open",
        "the next turn is sent while the one before it still runs",
        "gateway.call.exchange",
        "            and self.draining is None\n",
        "",
    ),
    _one(
        "words-forgotten",
        "what was said in a turn that the API voided is not said again",
        "gateway.call.exchange",
        "if failure is not None and not stored and failure.status != 400 and not turn.is_greeting:",
        "if failure is None:",
    ),
    _one(
        "no-comfort",
        "nothing fills the agent's silence",
        "gateway.call.life",
        "if self.phase in AGENTS_TURN and self.voice.quiet:",
        "if self.phase is None:",
    ),
    _one(
        "orphans-left",
        "nobody looks for the calls of dead replicas",
        "gateway.bridge.recovery",
        "orphans = await self._store.orphans(now, self._replica)",
        "orphans = []",
    ),
    Mutant(
        "adopted-alive",
        "a replica whose heartbeat is late is taken for dead",
        (
            Edit(
                "gateway.bridge.recovery",
                "since is None or self._clock.now() - since < HEARTBEAT_TTL:\n            return False",
                "since is not None:\n            return True",
            ),
            Edit("gateway.store.port", "HEARTBEAT_TTL: Final = 12.0", "HEARTBEAT_TTL: Final = 6.0"),
        ),
    ),
    _one(
        "unlooked-for",
        "what a cut-off create may have made is not looked for",
        "gateway.call.exchange",
        "self.maybe_created = self.maybe_created or not refused",
        "self.maybe_created = False",
    ),
    Mutant(
        "woken-acts",
        "a process that stood still acts without asking whose its calls are",
        (
            Edit(
                "gateway.bridge.bridge",
                "if self._tasks is not None and not self._checking:",
                "if self._tasks is None and not self._checking:",
            ),
            Edit(
                "gateway.bridge.books",
                "while not await self.ours() or self.doubted:",
                "while self.disowned:",
            ),
            Edit(
                "gateway.store.sql",
                "WHERE call_sid = ? AND replica = ?\n",
                "WHERE call_sid = ? AND ? IS NOT NULL\n",
            ),
        ),
    ),
    Mutant(
        "token-twice",
        "a used token opens a second stream",
        (
            Edit("gateway.bridge.tickets", "self._tickets[call_sid].used = True", "pass"),
            Edit(
                "gateway.store.sql",
                "token_digest = ? AND token_used = 0 AND",
                "token_digest = ? AND",
            ),
        ),
    ),
    _one(
        "drained-mute",
        "a drained call is cut without a word",
        "gateway.bridge.calls",
        'for bridge in self:\n            bridge.feed(ev.EndRequested("drain"))',
        'for bridge in self:\n            bridge.feed(ev.CallerGone("drain"))',
    ),
    _one(
        "retry-without-pause",
        "a refused finish is tried again at once, without end",
        "gateway.bridge.finisher",
        "await asyncio.sleep(LONGEST_PAUSE if pause is None else pause)",
        "await asyncio.sleep(0)",
    ),
    _one(
        "orders-dropped",
        "an operator's order of a call is accepted and forgotten",
        "gateway.bridge.switchboard",
        'bridge.feed(ev.EndRequested("operator"))',
        "pass",
    ),
    _one(
        "old-token",
        "a call that lost its line is sent to a token that was used",
        "gateway.bridge.switchboard",
        "if ticket is not None:\n            return Connect(ticket.document)\n        return await self._new_stream(bridge)",
        "ticket = ticket or self._tickets._tickets.get(sid)\n"
        "        return Connect(ticket.document) if ticket else Refuse.LOST",
    ),
    _one(
        "task-left",
        "a debt is paid by a task that nobody waits for",
        "gateway.bridge.finisher",
        'task = self._tasks.create_task(_guarded(work), name=f"finish {name}")\n'
        "        self._open.add(task)\n"
        "        task.add_done_callback(self._open.discard)",
        'task = asyncio.get_running_loop().create_task(_guarded(work), name=f"finish {name}")\n'
        "        self._tasks.left = task",
    ),
    _one(
        "store-error-through",
        "a store that fails at admission fails the webhook",
        "gateway.bridge.admission",
        'except StoreError:\n            return self.refuse(incoming, route, "store")',
        'except ZeroDivisionError:\n            return self.refuse(incoming, route, "store")',
    ),
)


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the modules of a mutant with their text exchanged."""

    def __init__(self, mutant: Mutant) -> None:
        self._edits: dict[str, list[Edit]] = {}
        for edit in mutant.edits:
            self._edits.setdefault(edit.module, []).append(edit)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._edits:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is None or found.origin is None:
            raise ImportError(fullname)
        return importlib.util.spec_from_loader(fullname, self, origin=found.origin)

    def exec_module(self, module: ModuleType) -> None:
        origin = str(module.__spec__.origin) if module.__spec__ else ""
        text = planted(Path(origin).read_text(), self._edits[module.__name__])
        module.__file__ = origin
        exec(compile(text, origin, "exec"), module.__dict__)


def planted(text: str, edits: Sequence[Edit]) -> str:
    """The text with the bugs in it; raises ValueError where an edit has no place, or several."""
    for edit in edits:
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.module}: {text.count(edit.old)} places for {edit.old!r}")
        text = text.replace(edit.old, edit.new)
    return text


def hunt(mutant: Mutant, seeds: int) -> int:
    """In an interpreter of its own: run seeds until one fails; exit status 0 when one did."""
    sys.meta_path.insert(0, _Planter(mutant))
    from tests.simulation.run import run_seed

    for number in range(seeds):
        violations = run_seed(FIRST + number).violations
        if violations:
            print(f"seed {FIRST + number}: {violations[0]}")
            return 0
    print(f"not found within {seeds} seeds")
    return 1


async def _hunted(mutant: Mutant, seeds: int, slots: asyncio.Semaphore) -> bool:
    async with slots:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "tests.simulation.mutants"),
            *("--hunt", mutant.name, "--seeds", str(seeds)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    found = process.returncode == 0
    said = out.decode().strip() or err.decode().strip()[-300:]
    print(
        f"{'found ' if found else 'MISSED'} {mutant.name}: {mutant.what}\n       {said}", flush=True
    )
    return found


async def _all(mutants: Sequence[Mutant], seeds: int, jobs: int) -> int:
    slots = asyncio.Semaphore(jobs)
    found = await asyncio.gather(*(_hunted(one, seeds, slots) for one in mutants))
    print(f"{sum(found)} of {len(found)} planted bugs were found within {seeds} seeds each")
    return 0 if all(found) else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate-mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these only")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds to find each within")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--hunt", metavar="NAME", help="this one, in this process")
    args = parser.parse_args()
    by_name = {one.name: one for one in MUTANTS}
    if args.hunt:
        return hunt(by_name[args.hunt], args.seeds)
    chosen = [by_name[name] for name in args.names] if args.names else list(MUTANTS)
    return asyncio.run(_all(chosen, args.seeds, args.jobs))


if __name__ == "__main__":
    sys.exit(main())
