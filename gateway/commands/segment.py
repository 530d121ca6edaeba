"""`voice-gateway segment`: what the ears of a live call make of recordings, and what another patience would."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import BadSetting, ConfigError

if TYPE_CHECKING:
    from audio.scoring import Figures
    from gateway.commands._listening import Listener
    from gateway.commands._recordings import Recording
    from gateway.settings import Settings

HELP: Final = (
    "what the ears of a live call make of recordings; sweep their patience, draw a picture"
)
EPILOG: Final = """\
FILE is a WAV of any rate or headerless mu-law (.ulaw). Of a stereo WAV the left channel is the caller,
the right one the agent, as the gateway records calls; X.agent.ulaw beside X.ulaw is its agent's voice.
The settings are the gateway's own, but no account is needed. Exit status: 0 heard; 2 a file or a
setting is wrong, which is told before anything is heard."""
EARS: Final = ("turn_taking.", "barge_in.")
"""Tables of settings that the ears obey."""
PATIENCES: Final = tuple(range(200, 1001, 100))
"""Values of `turn_taking.end_silence_ms` that a sweep tries where none are given."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="recordings to hear")
    parser.add_argument(
        "--agent", type=Path, metavar="FILE", help="what was played to the caller of the one FILE"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="hear with another setting, e.g. turn_taking.end_silence_ms=800; may be repeated",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="labels of the recordings, to be scored against; without FILE its tracks are heard",
    )
    parser.add_argument(
        "--sweep",
        nargs="?",
        const="",
        metavar="MS,MS…",
        help="the trade-off between cutting callers and making them wait, for each end_silence_ms"
        f" (default: {PATIENCES[0]} to {PATIENCES[-1]} in steps of 100)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PNG",
        help="draw level, model and decisions; for several FILEs NAME-FILE.png each",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Hear the recordings; wrong settings and files raise `ConfigError`."""
    from gateway.commands._recordings import read_labelled, read_manifest, read_recordings

    patiences = _patiences(args)
    _mind_usage(args, patiences)
    settings = _settings(args)
    manifest = None if args.manifest is None else read_manifest(args.manifest)
    if args.files or manifest is None:
        recordings = read_recordings(args.files, args.agent)
    else:
        recordings = read_labelled(manifest, args.manifest.parent)
    labelled = {one["id"] for one in manifest["tracks"]} if manifest else set()
    if manifest and labelled.isdisjoint(one.id for one in recordings):
        raise ConfigError([BadSetting(str(args.manifest), "has labels of none of the FILEs")])
    if patiences is not None:
        return _sweep(args, settings, patiences, recordings, manifest)
    return _segment(args, settings, recordings, manifest)


def _patiences(args: argparse.Namespace) -> tuple[int, ...] | None:
    """What to sweep; None: nothing. A FILE that the option took for its value is given back."""
    if args.sweep is None:
        return None
    words = args.sweep.split(",")
    if args.sweep and all(word.strip().isdecimal() for word in words):
        return tuple(sorted({int(word) for word in words}))
    if args.sweep:
        args.files.insert(0, Path(args.sweep))
    return PATIENCES


def _mind_usage(args: argparse.Namespace, patiences: tuple[int, ...] | None) -> None:
    problems = []
    if not args.files and args.manifest is None:
        problems.append(BadSetting("FILE", "is missing: which recording is to be heard?"))
    if args.agent is not None and len(args.files) != 1:
        problem = f"belongs to one FILE, and there are {len(args.files)}"
        problems.append(BadSetting("--agent", problem))
    if args.plot is not None and patiences is not None:
        problems.append(BadSetting("--plot", "draws one run, and --sweep makes many; choose one"))
    if args.plot is not None and not args.plot.parent.is_dir():
        problems.append(BadSetting("--plot", f"{str(args.plot.parent)!r} is no directory"))
    if problems:
        raise ConfigError(problems)
    if args.plot is not None:
        from gateway.commands._plot import need_matplotlib

        need_matplotlib()


def _settings(args: argparse.Namespace, **options: int) -> Settings:
    from gateway.settings import load_settings

    settings = load_settings(config=args.config, assignments=args.assignments, options=options)
    keys = [text.partition("=")[0].strip() for text in args.assignments]
    foreign = [key for key in keys if not key.startswith(EARS)]
    if foreign:
        why = "changes nothing that the ears do; turn_taking and barge_in do"
        raise ConfigError([BadSetting(f"{key} (--set)", why) for key in foreign])
    return settings


# ---------------------------------------------------------------- one run


def _segment(
    args: argparse.Namespace,
    settings: Settings,
    recordings: Sequence[Recording],
    manifest: dict[str, Any] | None,
) -> int:
    from gateway.commands._listening import Listener, hear_together
    from gateway.commands._telling import scored, text
    from gateway.compose import detector_factory

    make, trace = detector_factory(settings), args.plot is not None
    heard = {one.id: Listener(one.track, settings, make, trace=trace) for one in recordings}
    hear_together(list(heard.values()), _progress())
    figures = None if manifest is None else _score(manifest, heard)
    if args.json:
        print(json.dumps(_document(settings, heard, figures), indent=1))
    else:
        needed = settings.turn_taking.upload_after_ms
        for one in recordings:
            print("\n".join(text(one, heard[one.id], _engine(settings), needed)))
        if figures is not None:
            print("\n".join(scored(figures)))
    if args.plot is not None:
        from gateway.commands._plot import draw

        for name, listener in heard.items():
            path = args.plot if len(heard) == 1 else _named(args.plot, name)
            draw(name, listener, path)
            print(f"drawn: {path}", file=sys.stderr)
    return 0


def _named(plot: Path, name: str) -> Path:
    return plot.with_name(f"{plot.stem}-{name}{plot.suffix}")


def _score(manifest: dict[str, Any], heard: dict[str, Listener]) -> Figures:
    from audio.scoring import score

    return score(manifest, {"tracks": _tracks(heard)}).total


def _tracks(heard: dict[str, Listener]) -> dict[str, list[dict[str, Any]]]:
    """What a scorer takes: turns as they were detected."""
    from gateway.commands._listening import joined

    return {name: [asdict(one) for one in joined(ears.utterances)] for name, ears in heard.items()}


def _document(
    settings: Settings, heard: dict[str, Listener], figures: Figures | None
) -> dict[str, object]:
    """The scorer's format; what it does not know it leaves alone."""
    from gateway.commands._telling import line

    document: dict[str, object] = {
        "engine": _engine(settings),
        "settings": {
            "turn_taking": settings.turn_taking.model_dump(),
            "barge_in": settings.barge_in.model_dump(),
        },
        "lines": {name: line(listener) for name, listener in heard.items()},
        "tracks": _tracks(heard),
        "utterances": {
            name: [asdict(one) for one in listener.utterances] for name, listener in heard.items()
        },
    }
    if figures is not None:
        document["score"] = asdict(figures)
    return document


def _engine(settings: Settings) -> str:
    from gateway.compose import engine_of

    return f"voice-gateway {engine_of(settings)}"


def _progress() -> Callable[[float], None]:
    """Tells a terminal how far we are."""
    if not sys.stderr.isatty():
        return lambda _share: None

    def tell(share: float) -> None:
        # the line is wiped once all is heard
        end = "\r\033[K" if share >= 1.0 else ""
        print(f"\rheard {share:.0%}", end=end, file=sys.stderr, flush=True)

    return tell


# ---------------------------------------------------------------- many runs


def _sweep(
    args: argparse.Namespace,
    settings: Settings,
    patiences: Sequence[int],
    recordings: Sequence[Recording],
    manifest: dict[str, Any] | None,
) -> int:
    from gateway.commands._sweep import sweep, table

    tried = {
        patience: _settings(args, gateway_turn_taking__end_silence_ms=patience)
        for patience in patiences
    }
    base = settings.turn_taking.end_silence_ms
    trades = sweep(tried | {base: settings}, base, recordings, _progress())
    labelled = None
    if manifest is not None:
        labelled = {trade.end_silence_ms: _score(manifest, trade.heard) for trade in trades}
    if args.json:
        rows = [
            trade.row()
            | ({} if labelled is None else {"score": asdict(labelled[trade.end_silence_ms])})
            for trade in trades
        ]
        print(json.dumps({"engine": _engine(settings), "base_ms": base, "sweep": rows}, indent=1))
    else:
        print("\n".join(table(trades, base, labelled)))
    return 0
