"""What personal data and secrets look like in a text: keys, e-mail addresses, phone numbers, IBANs, payment cards.

Pure. Where a form has a check digit it is checked, for numbers are everywhere in code and logs. All of it is by form:
a name, an address or a number in words is not found, nor is what somebody spelt to be missed.
Every pattern is linear in the text: what comes before a possible match is bounded, and nothing repeats a repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import regex

from llm_gateway.access.keys import MARK


class Span(NamedTuple):
    """A place in a text."""

    start: int
    end: int
    label: str
    """What is written in its stead, in brackets."""


Search = Callable[["regex.Pattern[str]", str], Iterator["regex.Match[str]"]]
"""All matches in a text. Raises TimeoutError."""


def sensitive(text: str, search: Search) -> Iterator[Span]:
    """Every place that looks like something that must not be kept, in no order; places may overlap."""
    if "-----BEGIN " in text:
        yield from _whole(text, search, _PEM, "private key")
    yield from _whole(text, search, _KEY, "key")
    yield from _value(text, search, _BEARER, "key")
    yield from _value(text, search, _PASSWORD, "secret")
    if "://" in text:
        yield from _value(text, search, _URL_PASSWORD, "secret")
    if "@" in text:
        yield from _whole(text, search, _EMAIL, "email")
    yield from _ibans(text, search)
    yield from _cards(text, search)
    yield from _whole(text, search, _PHONE, "phone")
    yield from _value(text, search, _CALLED_PHONE, "phone")


def is_secret_name(name: str) -> bool:
    """Is what a JSON object holds under this name a secret whatever it looks like?"""
    return _SECRET_NAME.fullmatch(name) is not None


_PEM: Final = regex.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    regex.DOTALL,
)
_KEY: Final = regex.compile(
    r"(?<![A-Za-z0-9])(?:"
    rf"{MARK}[A-Za-z0-9_-]{{16,}}"
    r"|sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, many that copy them
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[A-Za-z0-9_-]{35}"  # Google
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}"
    r"|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}"  # SendGrid
    r"|eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*"  # JSON Web Tokens
    r")"
)
_BEARER: Final = regex.compile(r"(?i)(?<!\w)(?:bearer|basic)\s{1,3}([A-Za-z0-9._~+/=-]{16,})")
_TYPES: Final = r"(?:str|string|bytes|text|int|bool|none|null|nil|undefined|true|false|any|optional|required|varchar)\b"
_PASSWORD: Final = regex.compile(
    r"(?i)(?<![A-Za-z])(?:pass(?:word|wd|phrase|code)?|pwd|contraseña|clave|passwort|kennwort|"
    r"(?:client[_-]?)?secret(?:[_-]?key)?|(?:api|access|secret)[_-]?key|(?:(?:access|auth|refresh|api)[_-]?)?token)"
    r"[\"'\\]{0,4}\s{0,3}(?:[:=]{1,2}|(?<=\s)(?:is|es|ist)(?=[\s:]))\s{0,3}[\"'\\]{0,4}"
    rf"(?!{_TYPES})([^\s\"'\\,;(){{}}\[\]<>$`]{{4,200}}+)(?![(\[<])"
)
_URL_PASSWORD: Final = regex.compile(r"(?<=://[^\s:/@]{1,64}:)([^\s/@]{1,128}+)(?=@)")
_SECRET_NAME: Final = regex.compile(
    r"(?i)(?:.*[_-])?(?:password|passwd|passphrase|pwd|(?:client[_-]?)?secret(?:[_-]?key)?|api[_-]?key|apikey|"
    r"(?:access|auth|refresh|id)[_-]?token|authorization|private[_-]?key|contraseña|passwort)"
)
_EMAIL: Final = regex.compile(r"(?<![\w.%+-])(?!git@)[\w.%+'-]{1,128}+@(?:[\w-]{1,63}+\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_PHONE: Final = regex.compile(
    r"(?<![\w+.,-])(?:"
    # +34 612 345 678, 0034…: 8 to 15 digits behind the sign
    r"(?:\+|00)[1-9][0-9]{0,2}(?:[ ().\-/]{0,2}[0-9]){6,12}"
    # 0171/1234567, 06 12 34 56 78, 020 7946 0958, 0612345678; not 01-02-2024 12:30
    r"|(?![0-9]{1,2}([./-])[0-9]{1,2}\1[0-9]{4})0[1-9](?:[ .\-/]?[0-9]){8,9}"
    # (212) 555-0123, 212-555-0123
    r"|(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    # 612 345 678, 612 34 56 78, 91 123 45 67
    r"|[679][0-9]{2}(?:[ -][0-9]{3}){2}|[679][0-9]{2}(?:[ -][0-9]{2}){3}|[89][1-8][ -][0-9]{3}(?:[ -][0-9]{2}){2}"
    r")(?![\w]|[-:][0-9]|[.,][0-9])"
)
_CALLED_PHONE: Final = regex.compile(
    r"(?i)(?<!\w)(?:tel(?:[eé]fono|ephone|efon)?|tél|phone|mobile|m[oó]vil|cell|whatsapp|fax|handy|call|ll[aá]ma(?:me)?)"
    r"[^\w\n(+]{1,3}(?:[^\W\d]{1,10}[^\w\n(+]{1,3}){0,3}"
    r"(\+?\(?[0-9](?:[ ().\-/]{0,2}[0-9]){8,13})(?![\w]|[-:][0-9]|[.,][0-9])"
)
_IBAN_HEAD: Final = regex.compile(r"(?i)(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?=[ -]?[A-Z0-9])")
_DIGITS: Final = regex.compile(r"(?<![\w.,-])[0-9]{3,19}+(?:[ -][0-9]{3,19}+)*+(?![\w]|[.,][0-9])")

_IBAN_LENGTHS: Final = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL", "SO", "OM"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "MR", "SM", "DJ", "BI"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}
"""Characters by country (the IBAN registry of SWIFT, ISO 13616)."""


def _whole(text: str, search: Search, pattern: regex.Pattern[str], label: str) -> Iterator[Span]:
    for match in search(pattern, text):
        yield Span(*match.span(), label)


def _value(text: str, search: Search, pattern: regex.Pattern[str], label: str) -> Iterator[Span]:
    """The group of the match: what is before it says what it is, and stays."""
    for match in search(pattern, text):
        yield Span(*match.span(1), label)


def _ibans(text: str, search: Search) -> Iterator[Span]:
    for match in search(_IBAN_HEAD, text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is not None and (end := _end_of_iban(text, match.start(), length)) is not None:
            yield Span(match.start(), end, "iban")


def _end_of_iban(text: str, start: int, length: int) -> int | None:
    """Where the IBAN that begins at `start` ends, None where there is none."""
    found, place = "", start
    while len(found) < length and place < len(text):
        sign = text[place]
        if sign.isascii() and sign.isalnum():
            found += sign.upper()
        elif sign not in " -" or text[place - 1] in " -":
            return None
        place += 1
    if len(found) < length or (place < len(text) and text[place].isalnum()):
        return None
    number = "".join(str(int(sign, 36)) for sign in found[4:] + found[:4])
    return place if int(number) % 97 == 1 else None


def _cards(text: str, search: Search) -> Iterator[Span]:
    """Digits in one group or in several as cards print them; a card may stand between other numbers."""
    for match in search(_DIGITS, text):
        groups: list[tuple[int, int]] = []
        place = match.start()
        for part in match[0].replace("-", " ").split(" "):
            groups.append((place, place + len(part)))
            place += len(part) + 1
        first = 0
        while first < len(groups):
            last = next(
                (n for n in range(first, min(first + 5, len(groups))) if _is_card(text, groups, first, n)), None
            )
            if last is None:
                first += 1
            else:
                yield Span(groups[first][0], groups[last][1], "card")
                first = last + 1


def _is_card(text: str, groups: list[tuple[int, int]], first: int, last: int) -> bool:
    parts = [text[start:end] for start, end in groups[first : last + 1]]
    number = "".join(parts)
    return 13 <= len(number) <= 19 and all(len(part) >= 4 for part in parts[:-1]) and _issued(number) and luhn(number)


def _issued(number: str) -> bool:
    """Does a network give out numbers of this beginning and length (ISO/IEC 7812)?"""
    length, two, four = len(number), int(number[:2]), int(number[:4])
    if number[0] == "4":
        return length in (13, 16, 18, 19)
    if two in (34, 37):
        return length == 15
    if two in (30, 36, 38, 39):
        return length in (14, 16, 17, 18, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    return (two == 35 and length >= 16) or ((two == 50 or 56 <= two <= 69) and (length >= 15))


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(int(digit) * 2 - 9 * (digit > "4") for digit in digits[-2::-2])) % 10 == 0
