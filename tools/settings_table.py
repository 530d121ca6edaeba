"""Print the README's settings table from the settings tree: `python tools/settings_table.py`."""

from __future__ import annotations

from gateway.settings import OPTIONS
from gateway.settings.load import shown


def rows() -> list[str]:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for option in OPTIONS:
        default = shown(option, option.default)
        text = str(default).lower() if isinstance(default, bool) else str(default)
        lines.append(
            f"| `{option.variable}` | {'' if default is None else f'`{text}`'} | {option.description} |"
        )
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
