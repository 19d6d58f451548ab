"""Durations as people write them."""


def short(seconds: float) -> str:
    """Write a duration with two units at most: `0.4 s`, `19 s`, `1m 10s`, `7h 02m`."""
    if seconds < 0:
        return "-" + short(-seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"


def rough(seconds: float) -> str:
    """Write an estimate: `40 s`, `6 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
