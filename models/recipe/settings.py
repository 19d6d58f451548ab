"""Every number of the recipe."""

from dataclasses import dataclass

from zeroloop.core.settings import AlgorithmSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSettings:
    """The recipe of the seedling. The defaults are those of the model that ships."""

    seed: int = 20250503
    """Drives the grammar, the initial weights and the order of the batches."""

    threads: int = 2
    """Of torch. The order of floating-point sums, so the weights, depend on it."""

    num_references: int = 2
    """References of an abduction or deduction proposal, at most."""

    num_inputs: int = 6
    """Inputs of an induction proposal; the first half is shown to the solver."""

    think_share: float = 0.5
    """Share of the solver's responses that reason before they answer."""

    zero_share: float = 0.12
    """Share of proposals whose references are, or contain, the item that every run starts from."""

    notes_share: float = 0.35
    """Share of the texts that are notes instead of games."""

    notes_steps: int = 10

    hidden: int = 128
    layers: int = 6
    heads: int = 4
    mlp: int = 352
    context: int = 1024
    """Longest prompt and response together, in tokens."""

    texts: int = 60_000
    batch_tokens: int = 2048
    """Tokens of a batch, padding included."""

    prompt_weight: float = 0.1
    """Weight of a prompt's token in the loss; most of a prompt cannot be predicted."""

    matrix_learning_rate: float = 0.03
    """Of Muon."""

    learning_rate: float = 3e-3
    """Of AdamW, for the embedding and the norms."""

    warmup_ratio: float = 0.02
    weight_decay: float = 0.05

    held_out_tasks: int = 300
    """Held-out tasks of each kind."""

    @property
    def algorithm(self) -> AlgorithmSettings:
        """The rules that the games are played by."""
        return AlgorithmSettings(
            prompt_style="compact",
            references=self.num_references,
            num_inputs=self.num_inputs,
            prompt_tokens_max=self.context // 2,
            response_tokens_max=self.context // 4,
        )
