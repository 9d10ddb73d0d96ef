"""The arguments of generated scenes, checked, as they are stored beside the images."""

import dataclasses
from typing import Any

from fpnprobe.data.scene import Recipe
from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest

VERSION = 1  # raise with every change of the pictures


_MOST = {"train": 10**7, "val": 10**7, "size": 8192, "seed": 2**63 - 1}


_MOST_THINGS = 1000  # objects, or strokes of clutter, of a scene


def check_settings(
    *, train: int, val: int, size: int, seed: int, outlines: bool, recipe: dict[str, Any]
) -> dict[str, Any]:
    """The arguments, checked, as they are stored beside the images."""
    names = {field.name for field in dataclasses.fields(Recipe)} - {"size"}
    if not set(recipe) <= names:
        name, options = (
            min(set(recipe) - names),
            ("train", "val", "seed", "outlines", *sorted(names)),
        )
        raise FpnProbeError(f"unknown scene option {name!r:.60}: {suggest(name, options)}")
    for key, value in {"train": train, "val": val, "size": size, "seed": seed}.items():
        if type(value) is not int or value > _MOST[key]:
            raise FpnProbeError(
                f"scenes: {key}={value!r:.60}: expected a whole number of at most {_MOST[key]}"
            )
    if train < 1 or val < 1:
        raise FpnProbeError(f"scenes: train={train}, val={val}: expected at least one image each")
    if size < 64 or seed < 0:
        raise FpnProbeError(f"scenes: size={size}, seed={seed}: expected size >= 64, seed >= 0")
    scene_recipe = Recipe(size=size, **recipe)
    for key, value in recipe.items():
        if not isinstance(value, tuple | list) or not all(
            type(number) in (int, float) and 0 <= number <= _MOST_THINGS for number in value
        ):
            raise FpnProbeError(
                f"scenes: {key}={value!r:.60}: expected numbers from 0 to {_MOST_THINGS}"
            )
    if (
        abs(sum(scene_recipe.mix) - 1) > 1e-9
        or min(scene_recipe.mix) < 0
        or len(scene_recipe.mix) != 3
    ):
        raise FpnProbeError(
            f"scenes: mix={scene_recipe.mix}: expected three shares that add up to 1"
        )
    if not (
        len(scene_recipe.objects) == 2 and 1 <= scene_recipe.objects[0] <= scene_recipe.objects[1]
    ):
        raise FpnProbeError(f"scenes: objects={scene_recipe.objects}: expected 1 <= fewest <= most")
    if not (
        len(scene_recipe.clutter) == 2 and 0 <= scene_recipe.clutter[0] < scene_recipe.clutter[1]
    ):
        raise FpnProbeError(f"scenes: clutter={scene_recipe.clutter}: expected 0 <= fewest < most")
    counts: dict[str, Any] = {"train": train, "val": val, "seed": seed}
    if outlines:
        counts["outlines"] = True
    return {"version": VERSION, **counts, **dataclasses.asdict(scene_recipe)}
