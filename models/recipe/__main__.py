"""`python -m models.recipe`: make the models, measure them, or make them again and compare."""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from models.recipe.bpe import build_bpe_model
from models.recipe.seedling import differing_files, make_seedling, measure_folder
from models.recipe.settings import RecipeSettings

SEEDLING_DIR = Path("models/seedling")
WORK_DIR = Path("build/seedling")


def main() -> int:
    """Run one command; the exit code is 0 if it did what it says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args()
    settings = RecipeSettings()
    match arguments.command:
        case "seedling":
            make_seedling(arguments.out, arguments.work, settings)
        case "measure":
            figures = measure_folder(arguments.folder, settings)
            print(json.dumps(figures.to_json(), indent=2))
        case "verify":
            return _verify(arguments.folder, settings)
        case _:
            build_bpe_model(arguments.out, seed=arguments.seed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.recipe", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    seedling = commands.add_parser("seedling", help="make the model that ships")
    seedling.add_argument("--out", type=Path, default=SEEDLING_DIR)
    seedling.add_argument("--work", type=Path, default=WORK_DIR, help="checkpoints; kept")
    measure = commands.add_parser("measure", help="print the figures of a model folder")
    measure.add_argument("folder", type=Path, nargs="?", default=SEEDLING_DIR)
    verify = commands.add_parser("verify", help="make it again and compare every file")
    verify.add_argument("folder", type=Path, nargs="?", default=SEEDLING_DIR)
    test_model = commands.add_parser("test-model", help="make the tiny BPE model of the tests")
    test_model.add_argument("out", type=Path)
    test_model.add_argument("--seed", type=int, default=0)
    return parser


def _verify(folder: Path, settings: RecipeSettings) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / folder.name
        make_seedling(again, Path(scratch) / "work", settings)
        differing = differing_files(folder, again)
    if differing:
        print(f"{folder}: not reproduced: {', '.join(differing)}")
        return 1
    print(f"{folder}: every file reproduced")
    return 0


if __name__ == "__main__":
    sys.exit(main())
