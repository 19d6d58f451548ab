"""The part of the chart's schema that follows from the services' own settings.

  python -m tests.chart.settings_schema    write it into charts/zeroloop/values.schema.json

`buffer.settings` in values may hold what the buffer's settings class has, with its ranges, but
for what the chart or a run decides. Everything else in that file is written by hand.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from services.buffer.settings import BufferSettings
from services.controller.config import ControllerSettings
from services.execution.settings import ExecutionSettings
from services.inference.config import InferenceSettings
from services.reward.settings import RewardSettings
from trainer.config import TrainerSettings

SCHEMA = Path(__file__).resolve().parents[2] / "charts" / "zeroloop" / "values.schema.json"

KINDS: Mapping[str, type[BaseSettings]] = {
    "controller": ControllerSettings,
    "buffer": BufferSettings,
    "reward": RewardSettings,
    "execution": ExecutionSettings,
    "inference": InferenceSettings,
    "training": TrainerSettings,
}
"""Settings classes by the block of values that sets them."""

_OF_EVERY_SERVER = {
    *("host", "port", "address_file", "token_file", "telemetry_dir", "metrics_port"),
    *("drain_s", "drain_delay_s", "exit_with_parent", "health_port"),
    *("auth", "auth_audience", "auth_namespace", "tls_require_client"),
}

_OF_CALLERS = {"tls_cert_file", "tls_key_file", "tls_ca_file"}

_OF_THE_CHART: Mapping[str, set[str]] = {
    "controller": {
        *("platform", "runs_folder", "resume", "execution", "namespace", "kubeconfig"),
        *("pod_name", "pod_templates", "labels", "weights_store", "promote_to", "runs_claim"),
        *("inference_backend", "training_backend"),
        *("buffer_target", "reward_target", "execution_target", "execution_token_file"),
    },
    "buffer": {"database_url", "migrate", "sqlite_synchronous", "spool_dir"},
    "reward": {"execution_target", "execution_token_file"},
    "execution": {"isolation", "platform", "runsc", "python", "cache_dir", "scratch_dir"},
    "inference": {"weights_cache"},
    "training": {
        *("run", "model", "buffer", "token_file", "weights_dir", "checkpoint_dir", "last_round"),
        *("ready_file", "telemetry_dir", "exit_with_parent", "metrics_port", "metrics_host"),
        "weights_scratch",
    },
}
"""What the chart sets itself, or what makes no sense in a pod."""

_OF_A_RUN: Mapping[str, set[str]] = {
    "inference": {
        *("model", "engine", "parity_max", "sleep_mode"),
        *("weights_uri", "weights_version", "weights_digest", "weights_pointer"),
    },
    "training": {
        *("clip", "entropy_coef", "max_staleness", "importance_bound", "learning_rate"),
        *("adam_beta1", "adam_beta2", "weight_decay", "gradient_clip", "ranks", "zero_stage"),
        *("micro_batch_tokens", "deterministic", "seed", "checkpoint_every_rounds"),
    },
}
"""What the controller tells the pods of a run on their command line."""


def withheld(block: str) -> set[str]:
    """The settings that values cannot set."""
    servers = set() if block == "training" else _OF_EVERY_SERVER
    return servers | _OF_CALLERS | _OF_THE_CHART[block] | _OF_A_RUN.get(block, set())


def definition(block: str) -> dict[str, Any]:
    """The schema of a block's `settings`."""
    properties = KINDS[block].model_json_schema()["properties"]
    offered = {
        name: _plain(schema) for name, schema in properties.items() if name not in withheld(block)
    }
    return {"type": "object", "additionalProperties": False, "properties": offered}


def written() -> dict[str, Any]:
    """The whole schema, with its generated part as it should be."""
    schema = json.loads(SCHEMA.read_text())
    schema["definitions"] |= {f"{block}Settings": definition(block) for block in KINDS}
    return schema


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without titles, and without defaults, which are the service's business."""
    kept = {key: value for key, value in schema.items() if key not in {"title", "default"}}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    return kept


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(written(), indent=2, ensure_ascii=False) + "\n")
