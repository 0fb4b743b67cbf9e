"""ReCoNet on the Edge TPU: the appliance that stylises live video."""

__version__ = "0.1.0"
