"""What `audio` raises: one exception, so that callers need to know one."""

from __future__ import annotations


class UnsupportedAudio(Exception):  # noqa: N818 - reads as the sentence it is
    """The sound is in a form we recognise but do not decode, or its header cannot be read."""
