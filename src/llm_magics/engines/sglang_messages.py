"""What SGLang writes to its log: how far a start is, and why one failed. From failing starts and its source, 0.5.23."""

from __future__ import annotations

from llm_magics.engines.facts import Failure, Stage

STAGES = (
    Stage(r"Downloading|Fetching \d+ files", "downloading"),
    Stage(r"Load weight begin", "loading weights"),
    Stage(r"(?:Loading safetensors checkpoint|Multi-thread loading) shards:\s+(\d+)%", "loading weights {0} %"),
    Stage(r"Load weight end", "weights are loaded"),
    Stage(r"Capturing batches.*?(\d+)%", "capturing CUDA graphs {0} %"),
    Stage(r"Capture \w+ cuda graph begin|Capture cuda graph begin", "capturing CUDA graphs"),
    Stage(r"max_total_num_tokens=(\d+)", "room for {0} tokens in the KV cache"),
    Stage(r"Uvicorn running on|Application startup complete", "warming up"),
    Stage(r"The server is fired up and ready to roll", "answering"),
)
FAILURES = (
    Failure(
        r"Loaded weights leave no GPU memory for the KV cache .*Raise --mem-fraction-static above ([\d.]*\d)",
        "the weights leave no memory for the KV cache; a share of {0} would be the least",
        "gpu_memory_utilization: {0} or more, more GPUs with tensor_parallel_size, or a quantized model",
    ),
    Failure(
        r"Loaded weights leave no GPU memory for the KV cache",
        "the weights leave no memory for the KV cache",
        "raise gpu_memory_utilization, take more GPUs with tensor_parallel_size, or a quantized model",
    ),
    Failure(
        r"Not enough memory\. Please try to increase --mem-fraction-static",
        "there is no room for a KV cache",
        "raise gpu_memory_utilization (--mem-fraction-static), or take a quantized model",
    ),
    Failure(
        r"Capture (?:\w+ )?cuda graph failed",
        "the GPU's memory ended while CUDA graphs were captured",
        "lower gpu_memory_utilization to 0.8, or max_num_seqs",
    ),
    Failure(
        r"chunked_prefill_size must be divisible by page_size",
        "a step of this many tokens is no whole number of the KV cache's pages",
        "max_num_batched_tokens: a multiple of 128, or leave it out",
    ),
    Failure(
        r"context_length \((\d+)\) is greater than the derived context_length \((\d+)\)",
        "max_model_len {0} is longer than the model's context, {1} tokens",
        "max_model_len: {1}",
    ),
    Failure(
        r"quantization method (\S+) is not supported for the current GPU\. "
        r"Minimum capability: (\d+)\. Current capability: (\d+)",
        "the quantization {0} needs compute capability {1}, this GPU has {2}",
        "take another format (awq, gptq), or a newer GPU",
    ),
    Failure(
        r"(\S+) is not supported for quantization method (\S+?)\. Supported dtypes: (\[[^\]]*\])",
        "the quantization {1} does not compute in {0}",
        "dtype: one of {2}",
    ),
    Failure(
        r"quantization method (\S+) is not supported for the current GPU",
        "the GPU is too old for the quantization {0}",
        "take another format (awq, gptq), or another GPU",
    ),
    Failure(
        r"(?:[Pp]ort|at) (\d+) is not available",
        "port {0} is taken",
        "leave port: out so that a free one is chosen",
    ),
    Failure(
        r"No accelerator \(CUDA|Failed to infer device type|No NVIDIA GPU|no NVIDIA driver",
        "SGLang sees no GPU",
        "check the driver (`%llm doctor`); without a GPU say gpus: none",
    ),
    Failure(
        r"ambiguous option: (\S+)",
        "the option {0} can mean several of SGLang's",
        "write it in full: --tp-size, --pp-size, --dp-size",
    ),
    Failure(
        r"argument (--[\w-]+): invalid choice: '(\S+?)'",
        "SGLang does not know {1} for {0}",
        "see what the installed version takes: run its own --help",
    ),
)
