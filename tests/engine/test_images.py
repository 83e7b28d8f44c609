"""Tags that move: what an image was when a machine got it, and when another one takes its place."""

from dataclasses import replace

import pytest

from reconciler.engine import ImageTags, Simulation
from reconciler.engine.images import parse

IMAGE = "registry.fly.io/catwalk-runner:1"


async def digest_of(bench, machine):
    return (await bench.show(machine))["image_ref"]["digest"]


async def test_a_moved_tag_changes_no_machine_until_it_is_given_another_image(open_bench, settings):
    tags = ImageTags()
    async with open_bench(replace(settings, tags=tags), simulation=Simulation(running=True)) as bench:
        await bench.make_app()
        made = await bench.make_machine(config={"image": IMAGE})
        before = await digest_of(bench, made)
        pushed = tags.move(IMAGE)
        assert before != pushed
        assert await digest_of(bench, made) == before
        await bench.api.post(bench.path(made), json={"config": {"image": IMAGE, "env": {"A": "1"}}})
        assert await digest_of(bench, made) == before
        await bench.api.post(bench.path(made), json={"config": {"image": f"{IMAGE}@{pushed}"}})
        assert await digest_of(bench, made) == pushed
        other = await bench.make_machine(config={"image": IMAGE})
        assert await digest_of(bench, other) == pushed


async def test_a_digest_outlives_the_engine_that_resolved_it(open_bench, settings):
    tags = ImageTags()
    pushed = tags.move(IMAGE)
    async with open_bench(replace(settings, tags=tags), simulation=Simulation(running=True)) as bench:
        await bench.make_app()
        made = await bench.make_machine(config={"image": IMAGE})
    async with open_bench(settings, simulation=Simulation(running=True)) as bench:
        assert await digest_of(bench, made) == pushed


@pytest.mark.parametrize("same", ["catwalk-runner", "catwalk-runner:latest", "registry-1.docker.io/catwalk-runner"])
def test_a_tag_moves_under_all_its_spellings(same):
    tags = ImageTags()
    before = tags.digest(same)
    tags.move("catwalk-runner")
    assert tags.digest(same) != before


def test_a_tag_that_nobody_moved_is_what_its_name_says_and_a_digest_never_moves():
    tags, pinned = ImageTags(), f"{IMAGE}@sha256:{'0' * 64}"
    assert tags.digest(IMAGE) == parse(IMAGE).digest
    assert tags.digest(pinned) == f"sha256:{'0' * 64}"
    with pytest.raises(ValueError, match="does not move"):
        tags.move(pinned)
