"""Numbers and durations as a person reads them: in the terminal, in pictures and in reports."""


def duration(seconds: float | None) -> str:
    """`0.4 s`, `38 s`, `4 min 10 s`, `3 h 05 min`, `12 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def compact(number: float | None) -> str:
    """`960`, `12.3k`, `0.78M`, `341B`: three significant digits; nothing for nothing."""
    if number is None:
        return ""
    for size, suffix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{number:g}"


def count(number: float | None) -> str:
    """As `compact`, but in a table in which zero is nothing to tell."""
    return compact(number) if number else ""
