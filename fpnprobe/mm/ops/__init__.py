"""mmcv's compiled operators, served from torchvision where no compiled mmcv loads.

`install()` puts a stand-in for the extension module `mmcv._ext` into `sys.modules` before anything
imports `mmcv.ops`; a compiled mmcv that loads and fits the device wins. `backend()` says which.
"""

from fpnprobe.mm.ops.bridge import Backend, backend, install

__all__ = ["Backend", "backend", "install"]
