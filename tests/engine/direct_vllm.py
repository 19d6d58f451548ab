"""vLLM by itself, without a line of this project: what the service has to equal.

    python direct_vllm.py MODEL REQUESTS.json ANSWERS.json

Uses the blocking `LLM` class with its own worker process, text and nested log-probabilities.
"""

import json
import os
import sys
from pathlib import Path


def main(model: str, requests: str, answers: str) -> None:
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    from vllm import LLM, SamplingParams

    llm = LLM(
        model,
        dtype="float32",
        enforce_eager=True,
        enable_chunked_prefill=False,
        max_num_batched_tokens=16_384,
        kv_cache_memory_bytes=256 * 1024 * 1024,
        logprobs_mode="processed_logprobs",
    )
    asked = json.loads(Path(requests).read_text())
    params = [
        SamplingParams(**request["sampling"], logprobs=0, seed=request["seed"]) for request in asked
    ]
    outputs = llm.generate([request["prompt"] for request in asked], params, use_tqdm=False)
    found = [
        {
            "prompt_token_ids": output.prompt_token_ids,
            "samples": [
                {
                    "token_ids": list(sample.token_ids),
                    "text": sample.text,
                    "finish_reason": sample.finish_reason,
                    "logprobs": [
                        position[token].logprob
                        for token, position in zip(sample.token_ids, sample.logprobs, strict=True)
                    ],
                }
                for sample in output.outputs
            ],
        }
        for output in outputs
    ]
    Path(answers).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
