"""`voice-gateway demo`: one phone call on this machine, held in front of the reader and judged.

The sandbox and the gateway run as their own processes, as they would in earnest; the caller is
recorded human speech. Nothing of the user's own configuration is read, nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import BadSetting, ConfigError

if TYPE_CHECKING:
    from gateway.simulator import CallResult, GatewayTarget, Item, Moment, RestDouble, WordErrors
    from gateway.simulator.record import Record

HELP = "hold one phone call on this machine: sandbox, gateway and a caller with recorded speech"

OUTPUT: Final = Path("demo-output")
PUBLIC_URL: Final = "https://voice-gateway.example"
"""What the simulated carrier believes; it is mapped to the gateway's real port on loopback."""

MOST_WORD_ERRORS: Final = 0.25
"""Share of words the sandbox may get wrong over the whole call."""

INTERRUPTED: Final = 130

LAST_LINES: Final = 5
"""Of the servers' log shown when one of them did not start."""

SCENE: Final = (
    ("weasels", False),
    ("something-wrong", True),
    ("callback-number", False),
    ("goodbye", False),
)
"""What the caller says, and whether it interrupts; see gateway/simulator/speech/README.md."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help=f"the stereo recording (default {OUTPUT / 'call.wav'})",
    )


def run(args: argparse.Namespace) -> int:
    try:
        return asyncio.run(_until_asked_to_stop(args.record))
    except asyncio.CancelledError:
        return INTERRUPTED


async def _until_asked_to_stop(record: Path | None) -> int:
    """SIGTERM ends the demo as Ctrl-C does: the servers are stopped first. Asking once is enough."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def stop() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    return await _demo(record)


async def _demo(record: Path | None) -> int:
    import aiohttp

    from gateway.commands._children import ChildFailed
    from gateway.simulator import RestDouble

    recording = (record or OUTPUT / "call.wav").resolve()
    log = _fresh_log(recording)
    account, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
    try:
        with tempfile.TemporaryDirectory(prefix="voice-gateway-demo-") as scratch:
            async with (
                RestDouble(account, token) as rest,
                _servers(account, token, rest, Path(scratch), log) as house,
            ):
                held = await _hold(house, rest, recording)
    except (ChildFailed, aiohttp.ClientError) as failure:
        last = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        print("\n".join([*last, f"demo: {failure}"]), file=sys.stderr)
        print(f"what the servers said: {log}", file=sys.stderr)
        return 1
    problems = list(held.problems())
    _print_report(held, problems)
    if problems:
        print(f"what the servers said: {log}", file=sys.stderr)
    return 1 if problems else 0


def _fresh_log(recording: Path) -> Path:
    """An empty file beside the recording, which proves that the folder can be written, too."""
    log = recording.with_name(f"{recording.stem}-servers.log")
    try:
        recording.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    except OSError as error:
        problem = f"cannot write to {recording.parent}: {error.strerror}"
        raise ConfigError([BadSetting("--record", problem)]) from error
    return log


# ---------------------------------------------------------------- servers


@dataclass(frozen=True, slots=True)
class House:
    """The two servers and how to reach them."""

    sandbox: str
    target: GatewayTarget
    admin_token: str


@contextlib.asynccontextmanager
async def _servers(
    account: str, token: str, rest: RestDouble, scratch: Path, log: Path
) -> AsyncIterator[House]:
    from gateway.commands._children import child, environment, free_port
    from gateway.simulator import GatewayTarget

    sandbox_port, gateway_port = free_port(), free_port()
    sandbox, gateway = (f"http://127.0.0.1:{port}" for port in (sandbox_port, gateway_port))
    admin_token = secrets.token_hex(16)
    settings = environment(
        AMIGO_BASE_URL=sandbox,
        AMIGO_ORGANIZATION_ID="sandbox",
        AMIGO_API_KEY="sandbox-key",
        AMIGO_API_KEY_ID="sandbox-key-id",
        AMIGO_USER_ID="sandbox-caller",
        AMIGO_SERVICE_ID="5a9db0c55a9db0c55a9db0c5",
        TWILIO_ACCOUNT_SID=account,
        TWILIO_AUTH_TOKEN=token,
        TWILIO_API_BASE_URL=rest.base_url,
        GATEWAY_PUBLIC_URL=PUBLIC_URL,
        GATEWAY_HOST="127.0.0.1",
        GATEWAY_PORT=str(gateway_port),
        GATEWAY_STORE_URL=f"sqlite:///{scratch / 'calls.db'}",
        GATEWAY_RECORDINGS_DIR=str(scratch / "recordings"),
        GATEWAY_ADMIN_TOKEN=admin_token,
        GATEWAY_DRAIN_SECONDS="1",
        GATEWAY_MAX_LAG_MS="5000",  # one call is all there is: a slow machine should hear it anyway
        LOG_FORMAT="json",
    )
    print("starting the sandbox (speech models) and the gateway ...", file=sys.stderr, flush=True)
    async with contextlib.AsyncExitStack() as stack:

        async def start(*arguments: str, ready: str) -> None:
            running = child(*arguments, env=settings, folder=scratch, log=log)
            await (await stack.enter_async_context(running)).wait_ready(ready)

        await start("sandbox", "--port", str(sandbox_port), ready=f"{sandbox}/v1/openapi.json")
        await start("serve", ready=f"{gateway}/readyz")
        target = GatewayTarget(
            connect_to=gateway, public_url=PUBLIC_URL, account_sid=account, auth_token=token
        )
        yield House(sandbox, target, admin_token)


# ---------------------------------------------------------------- the call


@dataclass(frozen=True, slots=True)
class Held:
    """A call that is over, as three witnesses saw it: the phone, the gateway, the sandbox."""

    result: CallResult
    record: Record | str
    log: dict[str, Any]

    def problems(self) -> Iterator[str]:
        """Why the demonstration does not count; nothing when it does."""
        from gateway.simulator.result import record_complaints

        yield from self.result.problems
        yield from (f"broken rule {violation}" for violation in self.result.violations)
        if isinstance(self.record, str):
            yield f"the gateway gave no record: {self.record}"
        else:
            yield from record_complaints(self.result, self.record)
        errors = self.word_errors()
        if errors.rate > MOST_WORD_ERRORS:
            yield f"{errors.errors} of {errors.words} words were not recognised"
        if not self.interrupted():
            yield "no interruption was confirmed"
        yield from self._finish_problems()

    def word_errors(self) -> WordErrors:
        """What the sandbox recognised against what was really said, over the whole call."""
        from gateway.simulator import Utterance, word_errors

        said = " ".join(s.item.text for s in self.result.said if isinstance(s.item, Utterance))
        heard = " ".join(
            message["text"]
            for conversation in self.log["conversations"]
            for message in conversation["messages"]
            if message["type"] == "user-message" and message["voice"]
        )
        return word_errors(said, heard)

    def interrupted(self) -> bool:
        """The caller interrupted, the agent fell silent on the line, and the record says so too."""
        silenced = any(said.silent_after_ms is not None for said in self.result.said)
        turns = () if isinstance(self.record, str) else self.record.turns
        return silenced and any(turn.interrupted for turn in turns)

    def _finish_problems(self) -> Iterator[str]:
        conversations = self.log["conversations"]
        if len(conversations) != 1:
            yield f"{len(conversations)} conversations were created, not one"
        if not all(conversation["finished"] for conversation in conversations):
            yield "the conversation was not finished"
        # An agent that ends the conversation finishes it by that; the gateway then must not.
        finishes = [r for r in self.log["requests"] if r["operation"] == "finish"]
        if len([r for r in finishes if r["status"] == 204]) > 1:
            yield "the conversation was finished more than once"
        for violation in self.log["violations"]:
            yield f"a rule of the API was broken ({violation['rule']}): {violation['detail']}"


async def _hold(house: House, rest: RestDouble, recording: Path) -> Held:
    from gateway.simulator import CallPlan, Habits, place_call
    from gateway.simulator.record import fetch_record

    plan = CallPlan(
        items=tuple(_scene()),
        # The agent is the one to end this call; the caller waits for that.
        habits=Habits(linger_seconds=8.0),
        record=recording,
        max_seconds=90.0,
    )
    result = await place_call(plan, house.target, rest=rest, watch=_tell)
    record = await fetch_record(house.target.connect_to, result.call_sid, house.admin_token)
    return Held(result, record, await _sandbox_log(house.sandbox))


def _scene() -> Iterator[Item]:
    from gateway.simulator import Utterance
    from gateway.simulator.speech import recording

    for name, interrupts in SCENE:
        spoken = recording(name)
        yield Utterance(spoken.sound(), text=spoken.text, interrupts=interrupts)


async def _sandbox_log(sandbox: str) -> dict[str, Any]:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.get(f"{sandbox}/_sandbox/log") as answer:
        found: dict[str, Any] = json.loads(await answer.text())
        return found


# ---------------------------------------------------------------- telling


def _tell(moment: Moment) -> None:
    from gateway.simulator.report import moment_line

    print(moment_line(moment), file=sys.stderr, flush=True)


def _print_report(held: Held, problems: list[str]) -> None:
    from gateway.simulator.report import LEGEND, transcript

    record = None if isinstance(held.record, str) else held.record
    errors = held.word_errors()
    print("\nThe call, turn by turn (mm:ss.t after it was answered)")
    print(f"{LEGEND}\n")
    print("\n".join(transcript(held.result, record)))
    print(f"\nrecognised: {errors.words - errors.errors} of {errors.words} words", end="")
    print(f" ({errors.rate:.0%} word errors)")
    print(f"interruption: {'confirmed' if held.interrupted() else 'not confirmed'}")
    if record is not None:
        print(f"conversation: {record.conversation_state}", end="")
        print(f"; ended: {held.result.outcome} on the line, {record.end_reason} in the record")
    longest = max((underrun.gap_ms for underrun in held.result.underruns), default=0)
    print(f"holes inside the agent's words: {len(held.result.underruns)} (longest {longest} ms)")
    if held.result.recording:
        print(f"recording: {held.result.recording} (caller left, agent right)")
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    print("demo: " + ("FAILED" if problems else "passed"))
