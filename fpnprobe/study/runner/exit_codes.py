"""Exit codes of the process of a cell, by which its runner knows how it ended.

`BUSY`: another process holds the cell. `OTHER`: the study in the folder has another cell of this
name. `STOPPED`: asked to stop, and its state is saved.
"""

DONE, FAILED, DISK_FULL, BUSY, OTHER, STOPPED = 0, 1, 74, 75, 78, 130
