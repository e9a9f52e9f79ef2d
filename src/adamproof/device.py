"""Where the real optimizers run: ``--device``."""

from .errors import UsageError


def check_device(device: str) -> None:
    """Check that a float64 parameter can live on the device.

    Raises:
        UsageError: it is no device, or this torch cannot use it.
    """
    if device == "cpu":
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"{device!r} is no torch device; try cpu or cuda.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        why = "finds no GPU" if torch.version.cuda else "was built without CUDA"
        told = f"--device {device}: torch {torch.__version__} {why}"
        raise UsageError(f"{told}; leave it away, or install a build for it.")
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise UsageError(f"--device {device} cannot hold a float64 parameter: {first}.") from None
