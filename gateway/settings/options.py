"""The options of the settings tree as a flat list: what sources look up and `config` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.settings.model import TABLES, Settings
from gateway.settings.values import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

NO_OPTIONS: Final = frozenset({"routes"})
"""Fields of the tree that come from elsewhere."""

Path = tuple[str, ...]
"""Where an option stands in the tree: `("gateway_port",)` or `("silence", "prompts")`."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as an operator knows it."""

    path: Path
    description: str
    default: object
    secret: bool
    file_allowed: bool
    """Whether VAR_FILE may name a file that holds the value."""

    @property
    def variable(self) -> str:
        """The environment variable."""
        if len(self.path) == 1:
            return self.path[0].upper()
        return f"GATEWAY_{'__'.join(self.path).upper()}"

    @property
    def key(self) -> str:
        """The TOML key, dotted inside a table."""
        return ".".join(self.path)


def _options(model: type[BaseModel], above: Path = ()) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        if not above and name in TABLES:
            yield from _options(TABLES[name], (name,))
            continue
        if not above and name in NO_OPTIONS:
            continue
        secret = Mark.SECRET in field.metadata
        yield Option(
            path=(*above, name),
            description=field.description or "",
            default=field.default,
            secret=secret,
            file_allowed=secret or Mark.FROM_FILE in field.metadata,
        )


OPTIONS: Final = tuple(_options(Settings))
"""Every setting, in the order of the tree."""

BY_VARIABLE: Final = {option.variable: option for option in OPTIONS}
BY_KEY: Final = {option.key: option for option in OPTIONS}
BY_PATH: Final = {option.path: option for option in OPTIONS}
