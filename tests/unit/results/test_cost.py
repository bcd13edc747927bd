"""Cost: arithmetic that can be checked by hand, and no figure where no price was given."""

from __future__ import annotations

import pytest
from synthetic import synthetic_run

from llm_magics.results import cost


@pytest.mark.parametrize(
    ("price", "gpus", "hour"),
    [
        (2.5, 2, 5.0), (2.5, 0, 2.5), (2.5, None, 2.5), ({"gpu": 2.5}, 4, 10.0), ({"gpu": 2.5}, None, None),
        ({"server": 1.2}, 8, 1.2), (None, 2, None),
    ],
)  # fmt: skip
def test_dollars_an_hour(price: object, gpus: int | None, hour: float | None) -> None:
    assert cost.dollars_per_hour(price, gpus) == hour


def test_tokens_of_each_gpu_and_of_a_dollar() -> None:
    header = {"gpus_used": [0, 1], "workload": {"price": 1.8}}
    found = cost.figures(header, 1_000.0)
    assert found["output_throughput_per_gpu"] == 500
    assert found["dollars_per_hour"] == 3.6
    assert found["output_tokens_per_dollar"] == pytest.approx(1_000_000)
    assert found["dollars_per_million_output_tokens"] == pytest.approx(1.0)


def test_no_price_no_cost() -> None:
    point = synthetic_run(concurrency=[2]).points[0]
    assert all(point[key] is None for key in cost.KEYS)
