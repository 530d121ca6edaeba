"""The caller speaks: nothing clipped, nothing lost, and on its way while still being said."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from audio import mulaw
from gateway.simulator import Utterance
from tests.end_to_end.talk_sounds import (
    makes_a_short_noise,
    quiet_line,
    says,
    says_and_adds,
)
from tests.end_to_end.talking import a_house, both_revisions

NO_SPEECH = "22"


@both_revisions
async def test_the_upload_streams_while_the_caller_speaks_and_holds_every_sample(
    tmp_path: Path, revision: str
) -> None:
    sentence = says("young-man")
    async with a_house(tmp_path, revision) as house:
        house.expect("goodbye")
        call = await house.call(sentence)

        assert call.end_reason == "agent-ended"
        assert house.heard_by_the_api(sentence, 0)
        [turn] = (await house.api()).requests("interact")
        upload, speech_ms = turn["upload"], len(sentence.sound) // 8
        arrivals = [ms for ms, _ in upload["chunks"]]
        # spread over the time of speaking, not sent at its end
        assert arrivals[-1] - arrivals[0] > speech_ms / 2
        assert sum(ms < speech_ms * 0.75 for ms in arrivals) >= 5
        assert upload["end"] == "complete"
        assert turn["headers"]["Transfer-Encoding"] == "chunked"


@both_revisions
async def test_a_false_start_never_reaches_the_api(tmp_path: Path, revision: str) -> None:
    cough, word = makes_a_short_noise(80).sound, says("goodbye").sound
    async with a_house(tmp_path, revision) as house:
        house.expect("goodbye")
        call = await house.call(Utterance(cough + quiet_line(1200) + word, name="cough, goodbye"))

        assert call.end_reason == "agent-ended"
        assert (await house.api()).statuses("interact") == [200]
        assert mulaw.decode(word).tobytes() in house.ears.heard[0].tobytes()
        assert mulaw.decode(cough).tobytes() not in house.ears.heard[0].tobytes()


@both_revisions
@pytest.mark.parametrize("told_by", ["status", "event"])
async def test_speech_without_words_is_no_failure_and_the_caller_goes_on(
    tmp_path: Path, revision: str, told_by: Literal["status", "event"]
) -> None:
    async with a_house(
        tmp_path, revision, allowed=(NO_SPEECH,), sandbox={"silence": told_by}
    ) as house:
        house.expect("", "goodbye")
        call = await house.call(says_and_adds("goodbye", 1500, "goodbye"))

        assert call.end_reason == "agent-ended"
        assert call.user_texts == ["goodbye"]
        assert len((await house.api()).requests("interact")) == 2
        assert call.phrases == []


@both_revisions
async def test_a_long_turn_is_cut_in_two_without_losing_a_sample(
    tmp_path: Path, revision: str
) -> None:
    sentence = says("young-man")
    async with a_house(tmp_path, revision, GATEWAY_TURN_TAKING__MAX_UTTERANCE_MS="2000") as house:
        house.expect("the first half", "goodbye")
        call = await house.call(sentence)

        whole = np.concatenate(house.ears.heard).tobytes()
        assert mulaw.decode(sentence.sound).tobytes() in whole
        assert call.user_texts == ["the first half", "goodbye"]
        # the answer to the first half was never heard
        assert call.turns[1]["heard_text"] is None
        assert call.turns[2]["heard_text"] == call.turns[2]["agent_text"]
        assert call.clears == 0
