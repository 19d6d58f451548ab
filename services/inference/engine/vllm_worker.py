"""What vLLM's worker does beyond vLLM: a reload that reaches tied output layers too.

On a CPU a layer keeps a packed copy of its weights. vLLM's reload packs each layer again
for which the files hold weights; an output layer that is tied to the embedding has none of
its own, so it would go on with the old ones, without any error (vllm 0.32.0).
"""

from typing import Any

from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.platforms import current_platform


class ReloadTied:
    """Mixed into the worker class by vLLM (`worker_extension_cls`)."""

    model_runner: Any
    reload_weights: Any

    def reload_everything(self, folder: str) -> None:
        """Read the weights in `folder`, whatever was read from there before."""
        self.reload_weights(weights_path=folder)
        if not current_platform.is_cpu():
            return
        for layer in self.model_runner.get_model().modules():
            if isinstance(layer, VocabParallelEmbedding):
                layer.quant_method.process_weights_after_loading(layer)
