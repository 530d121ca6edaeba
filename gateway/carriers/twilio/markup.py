"""TwiML: what Twilio is told to do with a call, as text for the answers to its webhooks.

Equal arguments give equal bytes: a repeated webhook must get the very same answer. URLs are
absolute (a relative one is an error, 15004, in documents that go out over REST), and nothing
follows `<Connect>` but `<Hangup/>`: when our side closes the socket the call goes on with the next
verb (TwiML docs, "Stream").
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from twilio.twiml.voice_response import VoiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "text/xml"
"""What Twilio demands of every answer; another type, or none, is error 11200."""

_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped; one of them voids the document."""


def connect(
    stream_url: str,
    action_url: str,
    status_url: str,
    parameters: Mapping[str, str] = _NO_PARAMETERS,
) -> str:
    """Open a bidirectional media stream; afterwards Twilio asks `action_url` what is next.

    `stream_url` is `wss://` and carries no query (error 31920); what the stream must know goes
    into its path or into `parameters`, which come back in `start`. `status_url` hears of stream
    errors, the only place where a refused message of ours shows up.
    """
    response = VoiceResponse()
    stream = response.connect(action=_xml(action_url), method="POST").stream(
        url=_xml(stream_url),
        status_callback=_xml(status_url),
        status_callback_method="POST",
    )
    for name, value in parameters.items():
        stream.parameter(name=_xml(name), value=_xml(value))
    response.hangup()
    return str(response)


def hangup() -> str:
    """End the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def busy() -> str:
    """Refuse the call with the busy tone; the caller is not charged. Only as the first answer."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def reject() -> str:
    """Refuse the call as a number nobody answers. Only as the first answer."""
    response = VoiceResponse()
    response.reject(reason="rejected")
    return str(response)


def dial(target: str) -> str:
    """Connect the caller to somebody else: a number in E.164, or a `sip:` address."""
    response = VoiceResponse()
    if target.startswith(("sip:", "sips:")):
        response.dial().sip(_xml(target))
    else:
        response.dial(_xml(target))
    response.hangup()
    return str(response)


def hold(text: str | None, seconds: int, url: str, language: str = "en-US") -> str:
    """Say `text` if there is any, let `seconds` pass, and ask `url` what to do next."""
    response = VoiceResponse()
    if text is not None:
        response.say(_xml(text), language=language)
    response.pause(length=seconds)
    response.redirect(_xml(url), method="POST")
    return str(response)


def say_and_hangup(text: str, language: str = "en-US") -> str:
    """Let Twilio's own voice say `text`, then end the call."""
    response = VoiceResponse()
    response.say(_xml(text), language=language)
    response.hangup()
    return str(response)


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
