"""The model of Triton's Python backend: Transformers with static batches, named and answered like the vLLM backend.

Triton loads it by file name from the repository that `triton_server.py` made. Inputs, outputs and sampling parameters
are those of NVIDIA's vLLM backend, so that a client need not know which of the two answers.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # Triton's own, only there while Triton runs this

NAMES = {"half": "float16", "float": "float32"}


class TritonPythonModel:
    """What Triton calls; requests are queued here and answered from a thread each."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; what it raises is Triton's reason not to start."""
        parameters = json.loads(args["model_config"])["parameters"]
        sys.path.insert(0, parameters["launchers"]["string_value"])
        import torch
        from generation import Batches
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        options = json.loads(parameters["options"]["string_value"])
        trust = {"trust_remote_code": bool(options.get("trust_remote_code")), "revision": options.get("revision")}
        config = AutoConfig.from_pretrained(options["model"], **trust)
        own = getattr(config.get_text_config(), "max_position_embeddings", None) or 2048
        self.context = options.get("max_model_len") or own
        if self.context > own:
            raise ValueError(f"max_model_len {self.context} is longer than the model's context, {own} tokens")
        if options.get("seed") is not None:
            torch.manual_seed(options["seed"])
        word = NAMES.get(options.get("dtype", "auto"), options.get("dtype", "auto"))
        dtype = word if word == "auto" else getattr(torch, word)
        model = AutoModelForCausalLM.from_pretrained(options["model"], dtype=dtype, **trust).eval()
        if torch.cuda.is_available():
            model = model.cuda()
        tokenizer = AutoTokenizer.from_pretrained(options.get("tokenizer") or options["model"], **trust)
        self.batches = Batches(model.generate, model, tokenizer, size=options.get("max_num_seqs") or 8)
        self.batches.start()
        self._publish(args["model_name"])
        print(f"the model is loaded, context {self.context} tokens", flush=True)  # noqa: T201

    def execute(self, requests: list[Any]) -> None:
        """Queue requests; each is answered through its sender."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                ask, wants = self._asked(request)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a request is its answer
                self._refuse(sender, str(error))
                continue
            self.batches.submit(ask)
            threading.Thread(target=self._answer, args=(sender, ask, wants), daemon=True).start()

    def _asked(self, request: Any) -> tuple[Any, dict[str, bool]]:
        from openai_body import READ, Refused, length, sampled

        def flag(name: str) -> bool:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            return bool(tensor.as_numpy().flatten()[0]) if tensor is not None else False

        text = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().flatten()[0]
        ids = self.batches.tokenizer(text.decode("utf-8"))["input_ids"]
        said = json.loads(request.parameters() or "{}")
        if unknown := sorted(set(said) - READ):
            raise Refused(400, f"{unknown[0]} is not a parameter this backend knows")
        most, room = length(said, default=16) or 0, self.context - len(ids)
        if not ids or most < 1 or most > room:
            raise Refused(
                400,
                f"the context is {self.context} tokens; {len(ids)} of prompt and {most} of answer were asked for",
            )
        ask = sampled([int(each) for each in ids], most, said, self.batches.vocabulary)
        names = ("stream", "return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
        return ask, {name: flag(name) for name in names}

    def _answer(self, sender: Any, ask: Any, wants: dict[str, bool]) -> None:
        text, tokens = "", 0
        while True:
            piece = ask.out.get()
            if piece.error is not None:
                self._refuse(sender, piece.error)
                return
            if sender.is_cancelled():
                ask.gone.set()
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                return
            text, tokens = text + piece.text, tokens + piece.tokens
            if wants["stream"] or piece.finish:
                last = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if piece.finish else 0
                sender.send(self._response(text, tokens, piece.finish, ask, wants), flags=last)
                text, tokens = "", 0
            if piece.finish:
                return

    @staticmethod
    def _response(text: str, tokens: int, finish: str | None, ask: Any, wants: dict[str, bool]) -> Any:
        tensors = [pb_utils.Tensor("text_output", np.asarray([text.encode()], dtype=np.object_))]
        if wants["return_finish_reason"]:
            tensors.append(pb_utils.Tensor("finish_reason", np.asarray([str(finish).encode()], dtype=np.object_)))
        if wants["return_num_input_tokens"]:
            tensors.append(pb_utils.Tensor("num_input_tokens", np.asarray([len(ask.ids)], dtype=np.uint32)))
        if wants["return_num_output_tokens"]:
            tensors.append(pb_utils.Tensor("num_output_tokens", np.asarray([tokens], dtype=np.uint32)))
        return pb_utils.InferenceResponse(output_tensors=tensors)

    @staticmethod
    def _refuse(sender: Any, words: str) -> None:
        response = pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(words))
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _publish(self, model: str) -> None:
        """The counts of `generation` among Triton's own metrics, which know of requests and not of tokens."""
        kinds = {"requests_running": pb_utils.MetricFamily.GAUGE, "requests_waiting": pb_utils.MetricFamily.GAUGE}
        self.families = {
            name: pb_utils.MetricFamily(
                name=f"llm_{name}", description=name.replace("_", " "),
                kind=kinds.get(name, pb_utils.MetricFamily.COUNTER),
            )
            for name in self.batches.metrics()
        }  # fmt: skip
        self.metrics = {name: family.Metric(labels={"model": model}) for name, family in self.families.items()}
        self.told = dict.fromkeys(self.metrics, 0)
        threading.Thread(target=self._tell, daemon=True).start()

    def _tell(self) -> None:
        """Ten times a second: a metric of Triton's is a message to another process."""
        over = threading.Event()
        while not over.wait(0.1):
            for name, value in self.batches.metrics().items():
                if value != self.told[name]:
                    metric = self.metrics[name]
                    if name.startswith("requests_") and name != "requests_total":
                        metric.set(value)
                    else:
                        metric.increment(value - self.told[name])
                    self.told[name] = value
