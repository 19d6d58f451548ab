"""Seeds are asked for as they are read: with the rewrites that seeding applies."""

from tests.unit.controller.test_engine import World
from zeroloop.core.tasks import Role


async def test_proposers_are_told_of_the_seeding_rewrites_only_while_seeding() -> None:
    world = World()
    await world.play_round(0)
    seeding = [spec for spec in world.reward.asked if spec.role is Role.PROPOSER]
    world.reward.asked.clear()
    await world.play_round(1)
    playing = world.reward.asked

    assert seeding
    assert all(spec.seeding for spec in seeding)
    assert not any(spec.seeding for spec in playing)
