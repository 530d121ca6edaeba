"""The upload follows the caller: all of it, in order, again if need be."""

from __future__ import annotations

import asyncio
import random

from audio import wav
from gateway.bridge.utterance import CHUNK_BYTES, Utterance, UtteranceBody
from tests.support.virtual_time import run_virtual

HEADER = wav.stream_header(8000)


def sound(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def collect(body: UtteranceBody) -> list[tuple[float, bytes]]:
    loop = asyncio.get_running_loop()
    return [(loop.time(), chunk) async for chunk in body.chunks()]


async def say(utterance: Utterance, data: bytes) -> None:
    for at in range(0, len(data), 320):
        await asyncio.sleep(0.02)
        utterance.append(data[at : at + 320])
    utterance.close()


def test_the_pre_roll_leaves_at_once_and_the_rest_as_it_is_said() -> None:
    async def main() -> None:
        sent: list[bool] = []
        utterance = Utterance(0, sound(6400, 1))
        body = UtteranceBody([utterance], lambda: sent.append(True))
        body.seal()
        began = asyncio.get_running_loop().time()
        reader = asyncio.create_task(collect(body))
        await say(utterance, sound(16_000, 2))
        chunks = await reader

        assert HEADER + sound(6400, 1) + sound(16_000, 2) == b"".join(data for _, data in chunks)
        assert [began] * 4 == [at for at, _ in chunks[:4]]
        assert all(len(data) <= CHUNK_BYTES + len(HEADER) for _, data in chunks)
        late = [at - began for at, _ in chunks[4:]]
        assert late == sorted(late)
        assert late[0] <= 0.13, "no chunk waits for more than what it holds"
        assert [True] == sent

    run_virtual(main())


def test_a_second_reading_starts_from_the_first_sample() -> None:
    async def main() -> None:
        utterance = Utterance(0, sound(3000, 1))
        body = UtteranceBody([utterance], lambda: None)
        body.seal()
        first = asyncio.create_task(collect(body))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        reader = asyncio.create_task(collect(body))
        await say(utterance, sound(5000, 2))

        again = b"".join(data for _, data in await reader)
        assert HEADER + sound(3000, 1) + sound(5000, 2) == again

    run_virtual(main())


def test_the_body_stays_open_until_it_is_sealed() -> None:
    async def main() -> None:
        one, two = Utterance(0, sound(320, 1)), Utterance(1, sound(640, 2))
        body = UtteranceBody([one], lambda: None)
        reader = asyncio.create_task(collect(body))
        one.close()
        await asyncio.sleep(1)
        assert not reader.done()
        body.extend(two)
        two.close()
        await asyncio.sleep(1)
        assert not reader.done()
        body.seal()

        assert HEADER + sound(320, 1) + sound(640, 2) == b"".join(data for _, data in await reader)

    run_virtual(main())


def test_two_readers_of_one_utterance_do_not_disturb_each_other() -> None:
    async def main() -> None:
        utterance = Utterance(0, b"")
        bodies = [UtteranceBody([utterance], lambda: None) for _ in range(2)]
        for body in bodies:
            body.seal()
        readers = [asyncio.create_task(collect(body)) for body in bodies]
        await say(utterance, sound(9000, 3))

        for reader in readers:
            assert HEADER + sound(9000, 3) == b"".join(data for _, data in await reader)

    run_virtual(main())
