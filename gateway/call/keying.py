"""Keys the caller presses: gathered into a sequence, which is a turn like any other."""

from __future__ import annotations

from gateway.call.listening import Listening
from gateway.call.phases import LIVE, Phase
from gateway.call.timers import Timer

MAX_DIGITS = 64
"""Keys in one sequence; more are sent as the next."""


class Keying(Listening):
    """What becomes of keys."""

    def _digit(self, digit: str, now: float) -> None:
        if self.phase is Phase.ENDING:
            self._rate(digit, now)
        if self.phase not in LIVE:
            return
        self.record.note(now, "digit")
        self._prompts = 0
        self._last_key = now
        self.timers.stop(Timer.SILENCE)
        if self.voice.queue and not self._must_be_heard() and not self._greeting_awaited():
            self._interrupt(now)
            self._abandon(now)
            if self.phase in {Phase.GREETING, Phase.SPEAKING}:
                self._enter(Phase.LISTENING, now)
        self._digits += digit
        if digit == "#" or len(self._digits) >= MAX_DIGITS:
            self._send_digits(now)
        else:
            self.timers.start(Timer.DIGITS, now + self.policy.digits_pause_ms / 1000)

    def _send_digits(self, now: float) -> None:
        """The sequence is complete: it is the caller's turn, unless the caller is speaking too."""
        self.timers.stop(Timer.DIGITS)
        digits, self._digits = self._digits, ""
        text = digits.rstrip("#") or digits
        if not text:
            return
        self._keyed(text, now)

    def _keyed(self, text: str, now: float) -> None:
        self.exchange.waiting_text += text
        speaking = self._speech is not None and self._speech.taken
        if speaking or self._greeting_awaited() or self._must_be_heard():
            return
        self.voice.clear()
        self._abandon(now)
        self._send_waiting(now)
