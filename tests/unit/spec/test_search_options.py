"""Searches, prices and sweeps as they are written: on a line, in a body; what does not go together is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_magics import lines
from llm_magics.errors import SpecError
from llm_magics.spec import Workload
from llm_magics.spec.reading import build
from llm_magics.spec.sweep import read_sweep, settings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"search": "slo"}, "needs an slo"), ({"search": "best"}, "search: best"), ({"budget": "30s"}, "add search"),
        ({"goodput": 0.9}, "add search"), ({"search": "saturation", "goodput": 0.9}, "belongs to search: slo"),
        ({"search": "saturation", "budget": "1s"}, "too short"), ({"search": "saturation", "requests": 9}, "chosen by"),
        ({"search": "saturation", "rate": [1, 2, 4]}, "where to begin"),
        ({"search": "saturation", "rate": [4, 1]}, "lowest"),
        ({"search": "saturation", "rate": "inf"}, "loads of its own"), ({"price": -1}, "more than nothing"),
        ({"price": {"card": 1}}, "dollars an hour"), ({"price": {"gpu": 1, "server": 2}}, "not both"),
        ({"price": True}, "dollars an hour"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as told:
        build(Workload, options)
    assert says in str(told.value)


def test_a_line_takes_searches_prices_and_sweeps() -> None:
    asked = lines.bench("%").read(
        "tiny --search slo --slo ttft=500ms,tpot=50ms --budget 60s --price gpu=2.5 "
        "--sweep max_num_seqs=8,16 --sweep enable-prefix-caching=true,false --sweep dtype=bfloat16"
    )
    found = lines.given(asked, "target")
    assert found["sweep"] == {
        "max_num_seqs": [8, 16], "enable_prefix_caching": [True, False], "dtype": ["bfloat16"],
    }  # fmt: skip
    work = build(Workload, {key: value for key, value in found.items() if key != "sweep"})
    assert (work.search, work.budget, work.price, work.goodput) == ("slo", 60.0, {"gpu": 2.5}, 0.95)
    assert lines.bench("%").read("--engine llamacpp --sweep max_num_seqs=1").engine == "llamacpp"


def test_the_help_explains_them() -> None:
    text = lines.bench("%").format_help()
    for option in ("--search", "--budget", "--goodput", "--price", "--sweep", "--engine"):
        assert option in text


def test_a_sweep_without_values_is_refused() -> None:
    for text in ("max_num_seqs", "max_num_seqs="):
        with pytest.raises(SpecError, match="an option and its values"):
            read_sweep(text)


def test_settings_are_whole_specs_under_names_of_their_own() -> None:
    found = settings({"max_num_seqs": [8, 16], "dtype": "float32"}, {"engine": "vllm", "model": "m"}, "ab12")
    assert [each.label for each in found] == ["max_num_seqs=8", "max_num_seqs=16"]
    assert [each.spec.name for each in found] == ["sweep1_ab12", "sweep2_ab12"]
    assert all(each.spec.keep == "cell" and each.spec.dtype == "float32" for each in found)


def test_an_error_in_a_cell_names_its_line() -> None:
    with pytest.raises(
        SpecError, match=r"Line 3: sweep: there is no option 'max_num_seq' .did you mean 'max_num_seqs'"
    ):
        settings({"max_num_seq": [1]}, {"engine": "vllm"}, "x", {"sweep": 3})


def test_the_environment_names_a_price_and_the_cell_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_magics.api.benching import priced

    monkeypatch.setenv("LLM_MAGICS_PRICE", "{server: 1.2}")
    assert priced(Workload()).price == {"server": 1.2}
    assert priced(Workload(price=3.0)).price == 3.0
    monkeypatch.setenv("LLM_MAGICS_PRICE", "cheap")
    with pytest.raises(SpecError, match="price: cheap"):
        priced(Workload())


def test_a_comparison_sends_the_same_loads_to_all() -> None:
    from llm_magics.api import compare

    with pytest.raises(SpecError, match="same loads to every side"):
        compare(["a", "b"], workload={"search": "saturation"})
