"""The Reward service: prompts, verification, judging and rewards, by domain."""
