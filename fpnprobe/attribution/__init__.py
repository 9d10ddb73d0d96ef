"""Attribution of one detection to the levels it is read from: captum, level by level.

A detector is cut at two places into a `Chain` (`fpnprobe.attribution.chain`): the backbone's stage
outputs C2..C5 and the pyramid P2..P6. A `Readout` turns the pyramid into one number for each
example, such as the class logit of one RoI. Then four methods of captum spread that number over
the cells of every level (`methods`), `faithfulness` and `sanity` say whether a method's maps
deserve trust, and `table` turns shares per level into numbers with intervals.

This package knows no detector; `fpnprobe.mm.inspect.attribution` builds chains from mmdet's.
Importing it loads neither torch nor captum; its modules do.
"""
