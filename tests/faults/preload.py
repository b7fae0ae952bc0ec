"""What the processes of commands have in common is imported once, before the first of them begins."""

import importlib
import pkgutil

import cli
import gee_pipeline
import inference
import training

_ODD = ("pyogrio.geopandas", "torch._dynamo", "torch.profiler", "numba.typed", "PIL.Image")
"""Modules of other packages that are imported late."""

for _package in (gee_pipeline, inference, training, cli):
    for _, _name, _ in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_name)
for _name in _ODD:
    importlib.import_module(_name)
