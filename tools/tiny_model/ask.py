"""Asks the shipped files questions through real engines, to see with one's own eyes what the model says.

    PYTHONPATH=tools python -m tiny_model.ask llamacpp src/llm_magics/models/tiny [QUESTION ...]
    PYTHONPATH=tools python -m tiny_model.ask transformers src/llm_magics/models/tiny --json answers.json

Without questions it asks those of `probes.yaml`, whose phrasings are not in the corpus, and counts the answers that
contain the words they should; with `--recite`, the plainest question for every fact of the corpus.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from tiny_model import corpus

LONGEST = 300  # tokens of an answer


def llamacpp(folder: Path) -> Callable[[list[dict]], str]:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(folder / "tiny-q8_0.gguf")
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = 1, 2048
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)

    def answer(messages: list[dict]) -> str:
        body = {"messages": messages, "temperature": 0, "max_tokens": LONGEST, "cache_prompt": False}
        request = urllib.request.Request(  # noqa: S310
            f"{server.listening_address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            return json.load(reply)["choices"][0]["message"]["content"]

    return answer


def transformers(folder: Path) -> Callable[[list[dict]], str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def answer(messages: list[dict]) -> str:
        given = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**given, max_new_tokens=LONGEST)
        return tokenizer.decode(out[0, given["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def probes(chosen: argparse.Namespace) -> list[dict]:
    """What to ask, as turns parted by ` | `, and the words that the last answer must have or the whole of it."""
    if chosen.questions:
        return [{"q": question, "has": []} for question in chosen.questions]
    if chosen.recite:
        return [{"q": fact.questions[0], "has": [fact.answer]} for fact in corpus.facts()]
    return yaml.safe_load(Path(__file__).with_name("probes.yaml").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("llamacpp", "transformers"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("questions", nargs="*")
    parser.add_argument("--recite", action="store_true", help="ask for every fact of the corpus, word for word")
    parser.add_argument("--json", type=Path, help="also write the answers here")
    chosen = parser.parse_args()

    answer = {"llamacpp": llamacpp, "transformers": transformers}[chosen.engine](chosen.folder)
    answers, right, asked = {}, 0, probes(chosen)
    for probe in asked:
        messages: list[dict] = []
        for turn in probe["q"].split(" | "):
            messages.append({"role": "user", "content": turn})
            messages.append({"role": "assistant", "content": answer(messages)})
        said = messages[-1]["content"]
        good = all(word.lower() in said.lower() for word in probe["has"])
        right += good
        answers[probe["q"]] = said
        if not (good and chosen.recite):
            print(f"{'  ' if good else '! '}Q: {probe['q']}\n  A: {said}\n", flush=True)
    print(f"{right} of {len(asked)} answers contain what they should")
    if chosen.json:
        chosen.json.write_text(json.dumps(answers, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
