"""What each golden transcript must be read as: the events, written out by hand."""

from __future__ import annotations

import struct
from pathlib import Path

from gateway.amigo.stream import (
    AgentAction,
    AgentPiece,
    Alignment,
    ConversationCreated,
    InteractionCompleted,
    InteractionEvent,
    MalformedLine,
    SessionEnded,
    StreamError,
    UnknownEvent,
    UserMessage,
)
from gateway.ids import ConversationId

FOLDER = Path(__file__).parent.parent / "transcripts" / "amigo"

CONVERSATION = ConversationId("66a1b2c3d4e5f60718293a4b")
USER_MESSAGE = "66a1b2c3d4e5f60718293b02"
AGENT_MESSAGE = "66a1b2c3d4e5f60718293b01"
INTERACTION = "66a1b2c3d4e5f60718293c01"

ASKED = UserMessage(USER_MESSAGE, "I want to move my appointment")
FILLER_WORDS = AgentAction("action-too-long", "One second, please.")


def pcm(*samples: int) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def wav(*samples: int) -> bytes:
    head = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    sound = pcm(*samples)
    size = struct.pack("<I", 36 + len(sound))
    body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + size + body


def piece(
    audio: bytes | None,
    alignment: Alignment | None = None,
    *,
    stop: bool = False,
    sequence: int | None = 0,
    text: str = "",
    message_id: str = AGENT_MESSAGE,
) -> AgentPiece:
    return AgentPiece(message_id, text, audio, alignment, stop, sequence)


def completed(text: str, *, ends: bool = False) -> InteractionCompleted:
    return InteractionCompleted(AGENT_MESSAGE, INTERACTION, text, ends)


SCENES: dict[str, list[InteractionEvent]] = {
    "2025_06/greeting": [
        ConversationCreated(CONVERSATION),
        piece(pcm(0, 100, -100, 200), ((0, "H"), (55, "i"), (90, "."))),
        piece(pcm(300, -300), None, stop=True, sequence=1),
        completed("Hi."),
    ],
    "2025_06/voice_turn": [
        ASKED,
        piece(pcm(0, -1), ((0, "S"), (55, "u"), (110, "r"), (150, "e"))),
        piece(pcm(5, 6, 7), None, sequence=1),
        piece(b"", (), stop=True, sequence=2),
        completed("Sure."),
    ],
    "2025_06/agent_ends": [
        UserMessage(USER_MESSAGE, "Goodbye"),
        piece(pcm(9), ((0, "B"), (40, "y"), (80, "e")), stop=True),
        completed("Bye"),
        SessionEnded(),
    ],
    "2025_06/filler": [
        ASKED,
        AgentAction("tool-call-started", None),
        AgentAction("action-too-long", wav(1, 2, 3)),
        FILLER_WORDS,
        piece(pcm(1), None, stop=True),
        completed("Done"),
    ],
    "2025_06/void_turn": [
        ASKED,
        piece(pcm(1, 2)),
        StreamError(500, "model unavailable"),
    ],
    "2025_06/crlf_and_blanks": [
        ASKED,
        piece(pcm(4), ((0, "S"), (55, "u")), stop=True),
        completed("Su"),
    ],
    "2026_04/greeting": [
        ConversationCreated(CONVERSATION),
        AgentAction("navigate-state-machine-state-transitioned", None),
        piece(pcm(0, 100, -100, 200), ((0, "¡"), (55, "H"), (90, "é"))),
        piece(pcm(300, -300), None, stop=True, sequence=1),
        completed("¡Hé"),
    ],
    "2026_04/voice_turn": [
        ASKED,
        FILLER_WORDS,
        piece(pcm(0, -1), ((0, "S"), (55, "u"))),
        AgentAction("engage-user-message-fragment-generated", None),
        piece(pcm(5, 6, 7), ((110, "r"), (150, "e")), stop=True, sequence=7),
        completed("Sure"),
    ],
    "2026_04/agent_ends": [
        UserMessage(USER_MESSAGE, "Goodbye"),
        piece(pcm(9), None, stop=True),
        completed("Goodbye.", ends=True),
        StreamError(500, "post-processing failed"),
    ],
    "2026_04/nothing_heard": [
        UserMessage(USER_MESSAGE, ""),
        StreamError(400, "empty message"),
    ],
    "2026_04/oddities": [
        UserMessage(USER_MESSAGE, "half a pair ?"),
        UnknownEvent("weather-report"),
        MalformedLine(36, "not JSON"),
        MalformedLine(5, "not an object"),
        MalformedLine(16, "not JSON"),
        MalformedLine(14, "no type"),
        MalformedLine(45, "current-agent-action: no action"),
        piece(b"\xff\xff\x00\x00", ((0, "S"), (55, "u")), sequence=3),
        piece(
            None,
            ((110, "t"), (110, "r"), (150, "e")),
            sequence=None,
            text="I am text, not sound.",
        ),
        piece(b"", None, stop=True, sequence=None),
        MalformedLine(58, "new-message: message is not text"),
        MalformedLine(54, "conversation-created: no conversation_id"),
        StreamError(503, ""),
        InteractionCompleted(AGENT_MESSAGE, "", "", ends_conversation=False),
        MalformedLine(17, "cut off"),
    ],
}


def transcript(scene: str) -> bytes:
    return (FOLDER / f"{scene}.ndjson").read_bytes()
