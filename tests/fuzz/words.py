"""A target's words as the coverage-guided driver reads them, and inputs changed by chance with them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence


def dictionary(words: Iterable[bytes]) -> str:
    """A libFuzzer dictionary: one quoted word a line, odd bytes as `\\xNN`."""
    return "\n".join(f'"{"".join(map(_spelt, word))}"' for word in words if word) + "\n"


def _spelt(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return chr(byte) if plain else f"\\x{byte:02x}"


def changed(
    chance: random.Random, known: Sequence[bytes], words: Sequence[bytes], longest: int
) -> bytes:
    """One of the known inputs after a few changes: bytes, words, repetitions, pieces of another."""
    data = bytearray(chance.choice(known))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(0, 16))
        match chance.randrange(5):
            case 0:
                data[at:end] = chance.randbytes(end - at)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = chance.choice(words)
            case 3:
                data[at:at] = data[at:end] * chance.randint(1, 8)
            case _:
                other = chance.choice(known)
                start = chance.randint(0, len(other))
                data[at:end] = other[start : start + chance.randint(0, 64)]
    return bytes(data[:longest])
