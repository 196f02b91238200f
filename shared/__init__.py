"""What every function is deployed with."""

import gc

# What is imported stays: looking through it for garbage again and again would take a quarter of the time that the imports
# take, and cold starts are made of those. What requests leave is mostly freed by reference counting.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
