"""What code locations import: IO managers, tracking, vectors, notifications, pipelines in YAML.

Each takes its settings from the environment that the stack and the images make, and does without where
there is none. It knows neither the stack nor the example; what is public stands in each module's
`__all__`.
"""
