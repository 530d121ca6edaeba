"""The API's list of unfinished conversations is looked through: what nobody holds is finished."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.end_to_end.door_carrier import eventually
from tests.end_to_end.talking import a_house, both_revisions

OFTEN = "0.2"


@both_revisions
async def test_a_finish_that_was_given_up_is_made_good(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, GATEWAY_RECONCILE_SECONDS=OFTEN) as house:
        given_up = await house.stranger("sandbox-caller").create()
        await house.store_knows(given_up)

        async def finished() -> bool:
            return not (await house.api()).unfinished

        await eventually(finished, 10.0, "the finish")
        assert (await house.api()).finishes == 1


async def test_what_somebody_holds_or_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    async with a_house(
        tmp_path, left_open=2, AMIGO_FINISH_FOREIGN="true", GATEWAY_RECONCILE_SECONDS=OFTEN
    ) as house:
        held = await house.stranger("sandbox-caller").create()
        await house.store_knows(held, alive=True)
        # young: its name may be on its way to the store
        young = await house.stranger("anybody").create()
        await asyncio.sleep(1.0)

        api = await house.api()
        assert (api.unfinished, api.requests("finish")) == ({held, young}, [])
