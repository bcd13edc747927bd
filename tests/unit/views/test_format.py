"""A number that is written wrongly misleads more than a number that is missing."""

from __future__ import annotations

import math

import pytest

from llm_magics.views import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1234.4, "1,234"), (1_234_567, "1,234,567"), (12.34, "12.3"), (0.1234, "0.123"), (8.0, "8"),
        (9.996, "10.0"), (999.7, "1,000"), (0.000123, "0.000123"), (-12.34, "-12.3"), (math.inf, "∞"),
        (None, fmt.NOTHING), (math.nan, fmt.NOTHING),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_thousands(value: float | None, text: str) -> None:
    assert fmt.number(value) == text


def test_units() -> None:
    assert fmt.tokens_per_s(1234.4) == "1,234 tok/s"
    assert fmt.latency(0.0123) == "12.3 ms"
    assert fmt.latency(1.2345) == "1,234 ms"
    assert fmt.latency(12.5) == "12.5 s"
    assert fmt.milliseconds(None) == fmt.NOTHING
    assert fmt.size(23.9 * 2**30) == "23.9 GiB"
    assert fmt.size(512 * 2**20) == "512 MiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3780, "1 h 03 min"),
        (None, "\u2013"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100 %"),
        (0.9999, "99.9 %"),
        (0.934, "93 %"),
        (0, "0 %"),
        (0.0001, "< 0.1 %"),
        (0.05, "5 %"),
        (None, "\u2013"),
    ],
)
def test_only_all_is_a_hundred_per_cent_and_only_none_is_zero(share: float | None, text: str) -> None:
    assert fmt.percent(share) == text


def test_terminal_codes_do_not_reach_the_screen() -> None:
    assert fmt.visible("\x1b[31mred\x1b[0m\x07\x1b]0;title\x07 tail\nnext\tcol") == "red tail\nnext\tcol"


def test_a_long_name_keeps_both_ends() -> None:
    short = fmt.shortened("organisation/a-very-long-model-name-that-goes-on-Instruct-AWQ", 30)
    assert len(short) == 30
    assert short.startswith("organisation")
    assert short.endswith("AWQ")


def test_what_an_alert_compares_with_has_its_unit() -> None:
    asked = [(2.0, "s"), (0.2, "s"), (0.95, "share"), (5e8, "bytes"), (0.1, "1/s"), (4.0, "requests")]
    assert [fmt.threshold(*each) for each in asked] == ["2s", "200ms", "95 %", "500 MB", "0.1/s", "4 requests"]
