"""Numbers as a reader of the report sees them; compact ones and durations as everywhere."""

from compiler.words import compact as compact
from compiler.words import duration as duration

_MINUS = "\N{MINUS SIGN}"


def percent(share: float | None) -> str:
    """`63.2`, without the sign; a dash for nothing."""
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f}"


def signed(share: float) -> str:
    """A difference of shares in points: `+4.1`, `0.0`, and with a true minus sign `-0.3`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", _MINUS)


def decimal(number: float | None, places: int = 2) -> str:
    """`1.23`; nothing for nothing."""
    return "" if number is None else f"{number:.{places}f}".replace("-", _MINUS)


def plain(number: float) -> str:
    """As short as can be: `2.5`, `0`."""
    return f"{number:g}".replace("-", _MINUS)


def whole(number: float | None) -> str:
    """`12,345`; nothing for nothing."""
    return "" if number is None else f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """`1 stage`, `46 stages`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def scientific(number: float) -> str:
    """A learning rate: `3e-4`."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if number else "0"


def memory(size: float | None) -> str:
    """`812 MB`, `1.24 GB`."""
    if size is None:
        return ""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def family_name(family: str) -> str:
    """`word problem`."""
    return family.replace("_", " ")
