"""Plotly figures of results: one module an idea, put together by `of_run` and `of_comparison`."""
