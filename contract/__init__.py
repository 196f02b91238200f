"""The contract of the public functions: openapi.json, its generator, the models of answers."""
