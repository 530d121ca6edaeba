"""Every option of the gateway: environment first, then the TOML file, then defaults."""

from gateway.settings.load import Effective, Entry, load_settings, read_settings
from gateway.settings.model import BargeIn, Playback, Route, Settings, Silence, TurnTaking
from gateway.settings.options import OPTIONS, Option
from gateway.settings.rules import Needs

__all__ = [
    "OPTIONS",
    "BargeIn",
    "Effective",
    "Entry",
    "Needs",
    "Option",
    "Playback",
    "Route",
    "Settings",
    "Silence",
    "TurnTaking",
    "load_settings",
    "read_settings",
]
