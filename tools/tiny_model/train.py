"""Trains the demonstration model from nothing and writes every file of it.

    PYTHONPATH=tools python -m tiny_model.train --out src/llm_magics/models/tiny

Needs torch, transformers, tokenizers, safetensors, gguf, numpy and pyyaml; none of them is a dependency of the
package. One CPU core suffices. The last steps train with the weights already rounded to the grid of `grid.py`
(gradients pass straight through), so that the files lose nothing that the training had.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tiny_model import card, corpus, export, grid, tokenizer
from tiny_model.batches import Batch, batches

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "use_cache": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "dtype": "bfloat16",
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--rounded-steps", type=int, default=300, help="how many of the steps, at the end, are rounded")
    parser.add_argument("--rows", type=int, default=4, help="windows in a step")
    parser.add_argument("--window", type=int, default=512, help="tokens in a window")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="fifth faster; needs a C++ compiler")
    parser.add_argument("--try-every", type=int, default=0, help="write the files every so many steps as well")
    return parser.parse_args()


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def loss_of(model: LlamaForCausalLM, batch: Batch) -> tuple[torch.Tensor, float]:
    """The weighted loss to minimise, and the plain mean over answers and paragraphs, to report."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        weights = batch.weights[:, 1:].reshape(-1)
        wanted = weights > 0
        logits = model.lm_head(hidden[:, :-1].reshape(-1, hidden.shape[-1])[wanted])
    weights = weights[wanted]
    each = cross_entropy(logits.float(), batch.ids[:, 1:].reshape(-1)[wanted], reduction="none")
    return (each * weights).sum() / weights.sum(), each[weights == 1.0].mean().item()


def round_matrices(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Puts the rounded values in place and gives back the exact ones, to be restored after the gradient is known."""
    exact = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        if parameter.ndim == 2:
            parameter.data.copy_(torch.from_numpy(grid.round_to_grid(parameter.detach().numpy())))
    return exact


def optimizer_of(model: LlamaForCausalLM) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True)


def write(
    folder: Path,
    model: LlamaForCausalLM,
    tokens: Tokenizer,
    chosen: argparse.Namespace,
    **measured: float,
) -> None:
    weights = export.rounded(model.state_dict())
    export.write_configs(SHAPE, folder)
    export.write_safetensors(weights, folder)
    export.write_gguf(weights, SHAPE, tokens, folder)
    tokenizer.write(tokens, folder, SHAPE["max_position_embeddings"])
    training = card.Training(
        steps=chosen.steps,
        rounded_steps=chosen.rounded_steps,
        seed=chosen.seed,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        **card.corpus_facts(tokens, chosen.seed),
        **measured,
    )
    card.write(folder, training)


def main() -> None:
    chosen = options()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    chosen.out.mkdir(parents=True, exist_ok=True)
    tokens = tokenizer.train(corpus.expand(chosen.seed), SHAPE["vocab_size"])
    config = LlamaConfig(**{name: value for name, value in SHAPE.items() if name != "dtype"})
    model = LlamaForCausalLM(config)
    if chosen.compile:
        model.model.forward = torch.compile(model.model.forward)
    optimizer = optimizer_of(model)
    parameters = list(model.parameters())

    start, seen, recent = time.perf_counter(), 0, []
    stream = batches(tokens, chosen.seed, chosen.rows, chosen.window)
    for step in range(chosen.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, chosen.steps, chosen.rate)
        batch = next(stream)
        rounding = step >= chosen.steps - chosen.rounded_steps
        exact = round_matrices(parameters) if rounding else []
        loss, reported = loss_of(model, batch)
        loss.backward()
        for parameter, values in zip(parameters, exact, strict=False):
            parameter.data.copy_(values)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += batch.ids.numel()
        recent = [*recent[-99:], reported]
        measured = {"tokens_seen": seen, "loss": sum(recent) / len(recent)}
        measured["minutes"] = (time.perf_counter() - start) / 60
        if step % 50 == 0 or step == chosen.steps - 1:
            speed = seen / measured["minutes"] / 60
            print(f"step {step:5d}  loss {measured['loss']:.4f}  {speed:.0f} tokens/s", flush=True)
        if (chosen.try_every and step and step % chosen.try_every == 0) or step == chosen.steps - 1:
            write(chosen.out, model, tokens, chosen, **measured)

    print(f"written to {chosen.out} after {measured['minutes']:.1f} minutes")


if __name__ == "__main__":
    main()
