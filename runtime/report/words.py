"""Numbers as a reader of the report sees them."""

_MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """`63.2`, without the sign."""
    return f"{100 * share:.1f}"


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


def compact(number: float | None) -> str:
    """`960`, `12.3k`, `780k`, `1.2M`: three significant digits."""
    if number is None:
        return ""
    for size, suffix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{number:g}"


def scientific(number: float) -> str:
    """A learning rate: `3e-4`."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if number else "0"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `38 s`, `4 min 10 s`, `3 h 05 min`, `12 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    if rounded < 86_400:
        return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
    return f"{rounded // 86_400} d {rounded % 86_400 // 3600} h"


def memory(size: float | None) -> str:
    """`812 MB`, `1.24 GB`."""
    if size is None:
        return ""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def family_name(family: str) -> str:
    """`word problem`."""
    return family.replace("_", " ")
