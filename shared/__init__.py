"""Holds the code that every function is deployed with."""

import gc

# Imported objects live as long as the process. Collecting among them costs a quarter of the import time,
# which is most of a cold start. Reference counting frees most of what a request allocates.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
