"""An opened run in Jupyter: figures to look at and to save, tables, a view to play with.

Nothing here needs torch.
"""
