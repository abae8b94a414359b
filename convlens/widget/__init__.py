"""The Lens and its wire: the only code that knows Jupyter."""
