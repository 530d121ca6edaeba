"""Costly answers that anybody may ask for: made at most so often, however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

AnswerT = TypeVar("AnswerT")


class Paced(Generic[AnswerT]):
    """One run of `work` serves everybody who asked before it began; runs follow each other with a pause.

    So nobody gets an answer older than the question, only a little later.
    """

    def __init__(self, work: Callable[[], Awaitable[AnswerT]], pause: float) -> None:
        """`pause` is in seconds, from the end of a run to the beginning of the next."""
        self._work = work
        self._pause = pause
        self._turn = asyncio.Lock()
        self._latest: tuple[float, AnswerT] | None = None
        """When the last run began, and what came of it."""
        self._free_at = 0.0

    async def __call__(self) -> AnswerT:
        """Raises what `work` raises, to one of those who asked. Safe to cancel."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._turn:
            if self._latest is not None and self._latest[0] >= asked:
                return self._latest[1]
            await asyncio.sleep(max(0.0, self._free_at - loop.time()))
            began = loop.time()
            try:
                answer = await self._work()
            finally:
                self._free_at = loop.time() + self._pause
            self._latest = (began, answer)
            return answer
