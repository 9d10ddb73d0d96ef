"""The users' own variants: functions in mmengine's registry."""

from mmengine.registry import FUNCTIONS


def registered() -> tuple[str, ...]:
    """List the users' own variants: functions that they put into mmengine's `FUNCTIONS`."""
    return tuple(
        name
        for name, function in FUNCTIONS.module_dict.items()
        if not function.__module__.startswith(("mmengine", "mmdet", "mmcv"))
    )
