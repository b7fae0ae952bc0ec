"""Its presence puts this folder on the import path, so that the folders below find `fake_catalog`."""
