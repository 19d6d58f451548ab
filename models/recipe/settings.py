"""Every number of the recipe."""

from dataclasses import dataclass

from zeroloop.core.settings import AlgorithmSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A part of the pretraining, with a learning rate that rises and falls once."""

    texts: int
    first_drill_share: float
    """Share of the texts that are drills instead of games, at first."""

    last_drill_share: float
    """The same at the end; in between it falls evenly."""

    describing_share: float
    """Share of the games that are induction proposals, beyond those that come up anyway."""

    learning_rate_ratio: float
    """Of the peak of this course to the peak of the recipe."""

    def drill_share(self, done: float) -> float:
        """Share of drills when `done` of the course, in [0, 1], is behind us."""
        return self.first_drill_share + (self.last_drill_share - self.first_drill_share) * done


PRETRAINING = Course(
    texts=48_000,
    first_drill_share=0.85,
    last_drill_share=0.15,
    describing_share=0,
    learning_rate_ratio=1,
)
FINISHING = Course(
    texts=28_000,
    first_drill_share=0,
    last_drill_share=0,
    describing_share=0.3,
    learning_rate_ratio=0.4,
)
"""Games alone. Six inputs that are different and all run are what comes hardest."""


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

    courses: tuple[Course, ...] = (PRETRAINING, FINISHING)

    chain_steps: int = 10
    drill_cases: int = 4
    drill_hints: int = 4

    hidden: int = 128
    layers: int = 6
    heads: int = 4
    mlp: int = 352
    context: int = 1024
    """Longest prompt and response together, in tokens."""

    batch_tokens: int = 2048
    """Tokens of a batch, padding included."""

    given_weight: float = 0.1
    """Weight in the loss of a token that is given, as in a prompt; most cannot be predicted."""

    matrix_learning_rate: float = 0.03
    """Of Muon."""

    learning_rate: float = 3e-3
    """Of AdamW, for the embedding and the norms."""

    warmup_ratio: float = 0.02
    weight_decay: float = 0.05

    held_out_tasks: int = 300
    """Held-out tasks of each kind."""

    @property
    def texts(self) -> int:
        """Texts of all courses."""
        return sum(course.texts for course in self.courses)

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
