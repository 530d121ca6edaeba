"""Which revision to speak, and what to do when the service refuses the one we speak."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.amigo.revisions import R2025_06, Revision, other_than, revision_named
from gateway.log import fact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.amigo.models import RevisionSetting

_log = logging.getLogger(__name__)

_SMELLS: Final = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY)


class RevisionChoice:
    """The revision in use. With `auto` a refused voice turn may change it, once.

    Once means: until a voice turn is accepted again. So a service that refuses everything is not
    asked for its (large) document at every turn, and one that changes while we run is followed.
    """

    def __init__(
        self, setting: RevisionSetting, ask: Callable[[], Awaitable[Revision | None]]
    ) -> None:
        self.auto = setting == "auto"
        self.current = revision_named(setting) or R2025_06
        self.on_change: Callable[[Revision], None] | None = None
        self._ask = ask
        self._asking = asyncio.Lock()
        self._asked = False
        self._proven = False
        self._before_guess: Revision | None = None

    def adopt(self, revision: Revision) -> None:
        """Speak `revision` from now on, and tell `on_change` if that is news."""
        if revision == self.current:
            return
        fact(_log, "amigo.revision-changed", old=self.current.name, new=revision.name)
        self.current = revision
        if self.on_change is not None:
            self.on_change(revision)

    def accepted(self) -> None:
        """A voice turn was accepted as we framed it."""
        self._proven, self._asked, self._before_guess = True, False, None

    async def refused(self, tried: Revision, status: int | None) -> Revision | None:
        """The revision to repeat a refused voice turn with; None if repeating is no use.

        415 is how 2025-06 refuses a form, 422 how 2026-04 refuses a raw body. But 422 is also how
        any wrong field is refused, so it counts only as long as no voice turn was ever accepted.
        """
        if not self.auto or status not in _SMELLS:
            return None
        async with self._asking:
            if tried != self.current:
                return self.current  # another call has found out in the meantime
            if self._asked or (status == HTTPStatus.UNPROCESSABLE_ENTITY and self._proven):
                return None
            self._asked = True
            fact(
                _log,
                "amigo.revision-refused",
                level=logging.WARNING,
                tried=tried.name,
                status=status,
            )
            found = await self._ask()
            if found == tried:
                return None
            # A service that does not describe itself leaves only the other revision to try.
            self._before_guess = tried if found is None else None
            self.adopt(found or other_than(tried))
            return self.current

    def refused_again(self, status: int | None) -> None:
        """The repeated turn was refused too: a mere guess is taken back."""
        if status in _SMELLS and self._before_guess is not None:
            guessed, self._before_guess = self._before_guess, None
            self.adopt(guessed)
