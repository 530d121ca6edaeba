"""`voice-gateway call`: a simulated phone calls a gateway, and says whether all went as it should."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.errors import AmigoError, BadSetting, ConfigError

if TYPE_CHECKING:
    from gateway.sandbox.engines import Voice
    from gateway.settings import Settings
    from gateway.simulator import (
        CallPlan,
        CallResult,
        Echo,
        GatewayTarget,
        Item,
        Moment,
        RestDouble,
    )
    from gateway.simulator.record import Record

HELP = "a simulated phone: call a gateway with recordings, spoken text or keys"

EPILOG: Final = """\
What is said is said in the order of the options, each when it is the caller's turn. Signs as the
carrier does with TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, over GATEWAY_PUBLIC_URL where it is set;
both are read from the environment and from .env, like the gateway's own. Where TWILIO_API_BASE_URL
is an http address of this machine, the carrier's REST interface is played there during the call.
Times count from the start of the media stream, those with a + from the dialling.
Exit status: 0 all said and answered, no rule of the carrier broken; 1 not so; 2 usage. Where the
gateway's record can be read (GATEWAY_ADMIN_TOKEN), it must say so too; otherwise sound alone is judged."""

FACETS: Final = ("services",)
"""What a starter is about where nothing is said."""
NEVER_MS: Final = 3_600_000
"""Time within which a `clear` must come that need not come."""
KEYS: Final = re.compile(r"[0-9*#A-D]+")


class _Next(argparse.Action):
    """Collects --wav, --say, --dtmf and --barge-in into one list that keeps their order."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        given = [(self.const, value) for value in values or [None]]
        namespace.script = [*getattr(namespace, "script", []), *given]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(script=[])
    parser.add_argument(
        "--gateway", metavar="URL", help="where it listens (default: this machine, GATEWAY_PORT)"
    )
    for name, metavar, summary in (
        ("wav", "FILE", "play a recording: WAV of any rate, or MP3"),
        ("say", "TEXT", "speak this text with the sandbox's voice"),
        ("dtmf", "DIGITS", "press these keys, e.g. 5550142#"),
    ):
        parser.add_argument(
            f"--{name}",
            nargs="+",
            metavar=metavar,
            action=_Next,
            const=name,
            dest="script",
            default=argparse.SUPPRESS,
            help=summary,
        )
    parser.add_argument(
        "--starter",
        nargs="*",
        metavar="FACET",
        help="open with a sentence the API makes up for this service, about these facets"
        " (asked with the gateway's own AMIGO_* settings)",
    )
    parser.add_argument(
        "--barge-in",
        nargs=0,
        action=_Next,
        const="barge-in",
        dest="script",
        default=argparse.SUPPRESS,
        help="what comes next interrupts the agent, 1.2 s into its speech",
    )
    parser.add_argument(
        "--echo",
        type=_echo,
        metavar="DB[@MS]",
        help="what the caller hears comes back on the line, so many dB softer, after MS ms (120)",
    )
    parser.add_argument(
        "--may-go-on",
        action="store_true",
        help="an interruption need not stop the agent (a short word, a protected greeting)",
    )
    parser.add_argument("--from", dest="caller", default="+15550001111", help="calling number")
    parser.add_argument("--to", dest="called", default="+15550002222", help="number called")
    parser.add_argument(
        "--hang-up-after",
        type=_seconds,
        metavar="S",
        help="hang up this many seconds into the call",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="stereo WAV: caller left, agent right as played"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    from gateway.settings import load_settings
    from gateway.simulator import CallPlan

    settings = load_settings()
    target = _target(settings, args.gateway)
    script = args.script
    if args.starter is not None:
        opening = asyncio.run(_starter(settings, args.called, tuple(args.starter) or FACETS))
        script = [("say", opening), *script]
    plan = CallPlan(
        items=tuple(_items(script)),
        echo=args.echo,
        caller=args.caller,
        called=args.called,
        hang_up_after=args.hang_up_after,
        record=args.record,
    )
    if args.may_go_on:
        plan = replace(plan, clear_within_ms=NEVER_MS)
    return asyncio.run(_call(plan, target, settings, as_json=args.json))


async def _starter(settings: Settings, called: str, facets: tuple[str, ...]) -> str:
    """A sentence made up by the API; raises `ConfigError` when it cannot be asked, `AmigoError` when it refuses."""
    from gateway.amigo import AmigoClient
    from gateway.amigo.answers import StarterRequest
    from gateway.clock import SystemClock
    from gateway.compose import amigo_options, settings_of
    from gateway.ids import UserId

    own = settings_of(settings, called)
    if own is None:
        raise _usage("--starter", f"no service answers {called}: set AMIGO_SERVICE_ID or a route")
    user = own.amigo_user_id or next(iter(own.amigo_user_pool), "") or own.amigo_admin_user_id
    needed = {
        "AMIGO_ORGANIZATION_ID": own.amigo_organization_id,
        "AMIGO_API_KEY": own.amigo_api_key,
        "AMIGO_API_KEY_ID": own.amigo_api_key_id,
        "AMIGO_SERVICE_ID": own.amigo_service_id,
        "AMIGO_USER_ID": user,
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise ConfigError([BadSetting(name, "is required for --starter") for name in missing])
    wanted = StarterRequest(
        service_id=own.amigo_service_id, version_set=own.amigo_version_set, facets=facets
    )
    async with AmigoClient(amigo_options(own), SystemClock()) as client:
        await client.detect_revision()
        made = await client.starters(UserId(user), wanted)
    sentence = next((one.prompt for one in made if one.prompt.strip()), None)
    if sentence is None:
        raise AmigoError("starters", detail="the API made up no sentence")
    return sentence


async def _call(plan: CallPlan, target: GatewayTarget, settings: Settings, *, as_json: bool) -> int:
    from gateway.simulator import place_call
    from gateway.simulator.record import fetch_record
    from gateway.simulator.report import as_json as document
    from gateway.simulator.result import record_complaints

    async with _rest(settings) as rest:
        result = await place_call(plan, target, rest=rest, watch=_tell)
    record = None
    if result.stream_sids:
        found = await fetch_record(target.connect_to, result.call_sid, settings.gateway_admin_token)
        if isinstance(found, str):
            print(
                f"judging sound alone, without the gateway's own record: {found}", file=sys.stderr
            )
        else:
            record = found
            broken = record_complaints(result, found, hang_up_after=plan.hang_up_after)
            result = replace(result, problems=(*result.problems, *broken))
    if as_json:
        print(json.dumps(document(result, record), indent=2))
    else:
        _print_report(result, record)
    return 0 if result.ok else 1


def _print_report(result: CallResult, record: Record | None) -> None:
    from gateway.simulator.report import LEGEND, transcript, verdict

    lines = [LEGEND] if record else []
    lines += [*transcript(result, record), *verdict(result, record)]
    if result.recording:
        lines.append(f"recording: {result.recording} (caller left, agent right)")
    print("\n".join(["", *lines]))


def _tell(moment: Moment) -> None:
    from gateway.simulator.report import moment_line

    print(moment_line(moment), file=sys.stderr, flush=True)


def _target(settings: Settings, gateway: str | None) -> GatewayTarget:
    from gateway.simulator import GatewayTarget

    needed = {
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
    }
    problems = [
        BadSetting(name, "is required: the call is signed with it, as the carrier would")
        for name, value in needed.items()
        if not value
    ]
    connect_to = gateway or f"http://127.0.0.1:{settings.gateway_port}"
    if not _is_web_address(connect_to):
        problems.append(BadSetting("--gateway", f"{connect_to!r} is not an http(s) URL"))
    if problems:
        raise ConfigError(problems)
    return GatewayTarget(
        connect_to=connect_to,
        public_url=settings.gateway_public_url or connect_to,
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token[0],
    )


def _is_web_address(url: str) -> bool:
    try:
        address = urlsplit(url)
        return address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError:
        return False  # a port beyond 65535, or half of an IPv6 address


@contextlib.asynccontextmanager
async def _rest(settings: Settings) -> AsyncIterator[RestDouble | None]:
    """The carrier's REST interface, where the gateway was told to look for it on this machine."""
    from gateway.simulator import RestDouble

    address = urlsplit(settings.twilio_api_base_url)
    if address.scheme != "http" or address.hostname not in ("127.0.0.1", "localhost", "::1"):
        # The gateway will get nowhere with its REST hang-up, and close the socket instead.
        yield None
        return
    double = RestDouble(
        settings.twilio_account_sid,
        settings.twilio_auth_token[0],
        host=address.hostname,
        port=address.port or 80,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(double)
        except OSError as error:
            print(f"TWILIO_API_BASE_URL: {error.strerror}; calling without it", file=sys.stderr)
            yield None
        else:
            yield double


def _items(script: Iterable[tuple[str, Any]]) -> Iterator[Item]:
    from gateway.simulator import Keys, Utterance
    from gateway.simulator.sound import from_pcm

    interrupts = False
    voice: Voice | None = None
    for kind, value in script:
        if kind == "barge-in":
            if interrupts:
                raise _usage("--barge-in", "is given twice with nothing in between")
            interrupts = True
            continue
        item: Item
        match kind:
            case "wav":
                item = Utterance(_wav(Path(value)), name=Path(value).name)
            case "dtmf":
                if not KEYS.fullmatch(value):
                    raise _usage("--dtmf", f"{value!r} has keys other than 0-9, *, # and A-D")
                item = Keys(value)
            case _:
                if not value.strip():
                    raise _usage("--say", "has nothing to say")
                voice = voice or _voice()
                item = Utterance(from_pcm(voice.speak(value), voice.rate), text=value)
        yield replace(item, interrupts=interrupts)
        interrupts = False
    if interrupts:
        raise _usage("--barge-in", "needs something after it that interrupts")


def _wav(path: Path) -> bytes:
    from audio.errors import UnsupportedAudio
    from gateway.simulator.sound import from_file

    try:
        return from_file(path.read_bytes())
    except OSError as error:
        raise _usage("--wav", f"{path}: {error.strerror}") from error
    except UnsupportedAudio as error:
        raise _usage("--wav", f"{path}: {error}") from error


def _voice() -> Voice:
    from gateway.sandbox.engines import load_engines

    return load_engines("speech").voice


def _usage(option: str, problem: str) -> ConfigError:
    return ConfigError([BadSetting(option, problem)])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds in a call")
    return seconds


def _echo(text: str) -> Echo:
    from gateway.simulator import Echo

    softer, at, late = text.partition("@")
    try:
        decibels = float(softer)
        if 0 <= decibels < 100:
            echo = Echo(gain=10 ** (-decibels / 20))
            return replace(echo, delay_ms=int(late)) if at else echo
    except ValueError:
        pass  # whatever was wrong with it, what is wanted is the same
    raise argparse.ArgumentTypeError(f"{text!r} is not dB below what is heard, like 20 or 20@250")
