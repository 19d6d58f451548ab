"""What a Dockerfile says, as far as it decides what an image is made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: where it starts and what it does then."""

    name: str
    parent: str
    """As written: an earlier stage or an image."""

    instructions: tuple[str, ...]
    """One a line, without comments; the first is FROM."""

    @property
    def copies(self) -> tuple[str, ...]:
        """Files and folders of the repository that are copied, as written."""
        return tuple(
            source
            for words in self._words_of("COPY")
            if not words[0].startswith("--from=")
            for source in words[:-1]
        )

    @property
    def takes_from(self) -> tuple[str, ...]:
        """Stages that files are copied from."""
        return tuple(
            words[0].removeprefix("--from=")
            for words in self._words_of("COPY")
            if words[0].startswith("--from=")
        )

    def _words_of(self, instruction: str) -> list[list[str]]:
        lines = (line.split() for line in self.instructions)
        return [words[1:] for words in lines if words[0] == instruction]


def parse(text: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile in its order. Each has a name, and no line a heredoc."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    instructions = "\n".join(lines).replace("\\\n", " ").splitlines()
    stages: dict[str, Stage] = {}
    head: tuple[str, str] | None = None
    body: list[str] = []
    for line in [*filter(str.strip, instructions), "FROM"]:
        if line.startswith("FROM"):
            if head is not None:
                stages[head[1]] = Stage(head[1], head[0], tuple(body))
            found = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
            head, body = (found[1], found[2]) if found else None, []
        body.append(line)
    return stages


def needed(stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """Return the stages that a target is made of, itself included, in the file's order."""
    wanted = {target}
    for stage in reversed(list(stages.values())):
        if stage.name in wanted:
            wanted |= {stage.parent, *stage.takes_from}
    return [stage for stage in stages.values() if stage.name in wanted]
