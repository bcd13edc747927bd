"""What leaves a machine says that something was set, never what it was set to."""

from __future__ import annotations

from llm_magics.results.secrets import without_secrets


def test_names_stay_and_values_go() -> None:
    header = {
        "engine": "vllm",
        "spec": {"dtype": "float16", "env": {"PROXY": "me:pw"}},
        "workload": {"input_tokens": 8, "extra_body": {"user": "ann", "deep": {"key": "pw"}}},
    }
    said = without_secrets(header)
    assert said["spec"] == {"dtype": "float16", "env": {"PROXY": "…"}}
    assert said["workload"] == {"input_tokens": 8, "extra_body": {"user": "…", "deep": "…"}}
    assert said["engine"] == "vllm"
    assert header["spec"]["env"]["PROXY"] == "me:pw", "the run itself keeps what is needed to repeat it"


def test_a_header_without_them_stays_as_it_is() -> None:
    for header in ({}, {"spec": None, "workload": None}, {"spec": {"env": {}}, "workload": {"extra_body": {}}}):
        assert without_secrets(header) == header
