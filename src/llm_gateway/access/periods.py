"""Days and months of UTC, in Unix seconds: what budgets are given for."""

from __future__ import annotations

from typing import Final, NamedTuple

DAY: Final = 86_400


class Periods(NamedTuple):
    """The day and the month that a moment is in."""

    day: int
    """Its beginning, as `month`."""
    month: int
    day_end: int
    """The beginning of the next one, as `month_end`."""
    month_end: int

    def hold(self, wall: float) -> bool:
        """Is the moment in both?"""
        return self.day <= wall < self.day_end


def periods(wall: float) -> Periods:
    day = int(wall // DAY)
    year, month, of_month = _date(day)
    first = day - of_month + 1
    following = _first_of(year + month // 12, month % 12 + 1)
    return Periods(day * DAY, first * DAY, (day + 1) * DAY, following * DAY)


def _date(day: int) -> tuple[int, int, int]:
    """Year, month and day of the Gregorian calendar, of a day counted from 1970-01-01 (Howard Hinnant's
    `civil_from_days`)."""
    shifted = day + 719_468  # days since 0000-03-01: leap days are the last ones of these years
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    return era * 400 + year + (month <= 2), month, of_year - (153 * from_march + 2) // 5 + 1


def _first_of(year: int, month: int) -> int:
    """The first of a month, counted from 1970-01-01 (`days_from_civil`)."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
