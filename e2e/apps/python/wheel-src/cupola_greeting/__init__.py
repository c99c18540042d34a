"""A greeting: the dependency of the Python sample, as a wheel in its folder vendor."""

__version__ = "1.0.0"


def greet(name):
    return f"Hello from {name}"
