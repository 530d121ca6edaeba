"""The words of the front desk: what it says, and which words of a caller mean what.

Kept apart from the engine in `agent` so that the conversation can be read, and changed, as a page.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final


class Step(Enum):
    """What the desk is waiting for."""

    MESSAGE = "the message"
    NUMBER = "a number to call back"
    MORE = "anything else"
    DONE = "nothing: the conversation is over"


class Intent(Enum):
    """What a caller wants apart from leaving a message."""

    GOODBYE = "to end the call"
    HELP = "to know what can be done here"
    REPEAT = "to hear the last answer again"
    NO = "no"
    YES = "yes"


GREETING: Final = ("Hello, front desk.", "What message may I take?")
QUESTIONS: Final = MappingProxyType(
    {
        Step.MESSAGE: "What message may I take?",
        Step.NUMBER: "What number can we call you back on?",
        Step.MORE: "Is there anything else?",
    }
)
WROTE: Final = "I wrote down: {note}"
ADDED: Final = "I added: {note}"
NUMBER_NOTED: Final = "Thank you. I noted the number {number}."
KEYS_NOTED: Final = "You typed {number}."
NO_NUMBER: Final = "All right, no number."
SPEAK_NUMBER: Final = "Please say the number, or type it on your keys."
GO_AHEAD: Final = "Please go ahead."
EVENT_NOTED: Final = "Thank you, I noted that."
STILL_THERE: Final = "Are you still there?"
PASSED_ON: Final = "Thank you. I will pass your message on."
NOTHING_TAKEN: Final = "All right, no message then."
GOODBYE: Final = "Goodbye."
HELP: Final = (
    "I take messages.",
    "Tell me your message, then a number to call back.",
    "Say goodbye when you are done.",
)
FILLER: Final = "One moment, please."

ENDINGS: Final = (
    "goodbye",
    "good bye",
    "bye",
    "bye bye",
    "hang up",
    "that is all",
    "that's all",
    "that will be all",
    "that'll be all",
    "that is everything",
    "that's everything",
    "nothing else",
    "i am done",
    "i'm done",
)
"""A caller who begins or ends with one of these wants to end the call."""
REQUESTS: Final = MappingProxyType(
    {
        Intent.REPEAT: ("repeat", "say that again", "pardon", "what did you say", "come again"),
        Intent.HELP: ("help", "what can you do", "who are you", "how does this work"),
    }
)
"""Said in a short sentence, these ask the desk for something."""
REQUEST_WORDS: Final = 7
"""A longer sentence with such words in it is a message."""
ANSWERS: Final = MappingProxyType(
    {
        Intent.NO: ("no", "nope", "nothing", "none", "skip"),
        Intent.YES: ("yes", "yeah", "yep", "sure", "okay", "ok"),
    }
)
"""A very short answer that begins with one of these."""
ANSWER_WORDS: Final = 4

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_WORDS: Final = MappingProxyType(
    {**{word: str(n) for n, word in enumerate(DIGITS)}, "oh": "0"}
)
NUMBER_DIGITS: Final = 3
"""Fewer spoken digits than this are words of a sentence, not a telephone number."""
READ_BACK_WORDS: Final = 30
"""Longer messages are read back only this far."""
