"""Tiny models with random weights, made on the spot, for tests of the real engine.

They speak nonsense, which is all that a test of exactness needs: the same tokens, the same
log-probabilities, the weights that were asked for.
"""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from zeroloop.core.manifest import ProbeSequence
from zeroloop.weights_folder import building, seal, write_probe

CHARACTERS = "\n" + "".join(chr(code) for code in range(32, 127))
PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
CONTEXT_TOKENS = 256


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character of printable ASCII."""
    vocabulary = {token: index for index, token in enumerate((PAD, EOS, UNKNOWN, *CHARACTERS))}
    model = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    model.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    model.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def tiny_llama(folder: Path, *, seed: int = 0, layers: int = 2) -> LlamaForCausalLM:
    """Write a Hugging Face folder with a random Llama of 0.2M parameters; return the model."""
    torch.manual_seed(seed)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=True,
        # Larger than usual, so that other weights give clearly other probabilities.
        initializer_range=0.2,
        dtype="float32",
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model


def logprobs(model: LlamaForCausalLM, token_ids: list[int], prompt_tokens: int) -> list[float]:
    """What transformers says of the tokens after the prompt."""
    with torch.no_grad():
        logits_TV = model(torch.tensor([token_ids])).logits[0].float()
    logprobs_TV = torch.log_softmax(logits_TV, dim=-1)
    return [
        logprobs_TV[position - 1, token_ids[position]].item()
        for position in range(prompt_tokens, len(token_ids))
    ]


def publish(
    final: Path, *, version: int, seed: int, probe_shift: float | None = 0.0
) -> tuple[LlamaForCausalLM, str]:
    """Publish a version with random weights; return the model and the manifest's digest.

    `probe_shift` is added to every log-probability of the probe, so that parity fails by
    that much; None leaves the probe out.
    """
    with building(final) as folder:
        model = tiny_llama(folder, seed=seed)
        if probe_shift is not None:
            write_probe(folder, tuple(_probe(model, start, probe_shift) for start in (3, 40)))
        digest = seal(folder, version=version, parent=max(version - 1, 0), dtype="float32")
    return model, digest


def _probe(model: LlamaForCausalLM, start: int, shift: float) -> ProbeSequence:
    token_ids = list(range(start, start + 24))
    values = tuple(value + shift for value in logprobs(model, token_ids, 8))
    return ProbeSequence(tuple(token_ids), 8, values)


if __name__ == "__main__":
    import sys

    tiny_llama(Path(sys.argv[1]))
    print(json.dumps(sorted(path.name for path in Path(sys.argv[1]).iterdir())))
