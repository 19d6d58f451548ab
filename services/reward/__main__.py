"""`python -m services.reward`: serve rewards until SIGTERM."""

from services._server import run_service
from services.reward.application import application
from services.reward.settings import RewardSettings

if __name__ == "__main__":
    raise SystemExit(run_service("reward", RewardSettings, application))
