"""The door of the web interfaces: who may ask Dagster's webserver and MLflow for what.

ASGI middleware, and the hooks by which both products get it, here and in the images. It knows
nothing of the stack but variables of the environment.
"""
