"""Everything that knows mmengine, mmcv and mmdet; importing it makes mmdet ready for use.

In an mmdet config: `custom_imports = dict(imports=["fpnprobe.mm"])`. The import serves mmcv's
compiled operators from torchvision where no compiled mmcv loads, fills mmdet's registries without
the noise of its imports, and adds our modules to mmengine's root registries.
"""

from importlib.util import find_spec

from fpnprobe.errors import EnvironmentProblem

_missing = [
    name for name in ("mmdet", "mmcv", "mmengine", "torchvision") if find_spec(name) is None
]
if _missing:  # the one door to all that needs them
    raise EnvironmentProblem(
        f"{', '.join(_missing)} not installed: training and all else that runs a detector of "
        "mmdet needs pip install 'fpnprobe[mmdet]'"
    )

from fpnprobe.mm import quiet  # noqa: E402
from fpnprobe.mm.ops import install  # noqa: E402

install()
with quiet.imports():
    try:
        from mmdet.utils import register_all_modules
        from mmengine.registry import DefaultScope
    except ImportError as error:
        raise EnvironmentProblem(
            f"mmdet does not load: {error}: install it again into a new virtual environment, with "
            "pip install 'fpnprobe[mmdet]'"
        ) from error

    # Model parts look their names up in the current scope; leave one that a user's runner has set.
    register_all_modules(init_default_scope=DefaultScope.get_current_instance() is None)

from fpnprobe.mm import auxiliary, backbones, hook, metric  # noqa: E402, F401 - registers its modules
from fpnprobe.mm.detectors import necks, rival_necks, roi_extractor  # noqa: E402, F401 - registers its modules
