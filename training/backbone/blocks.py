"""A network in, its blocks in order out: what "the last two blocks" means."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torchvision.models.vision_transformer import Encoder  # type: ignore[import-untyped]

Block = list[nn.Module]


def blocks_of(network: nn.Module) -> list[Block]:
    """The network's parts that have weights, first to last.

    A sequence is opened, as is a transformer's encoder, unless it is a few layers in a row, such as
    a convolution with its norm. A layer that stands alone belongs to the block before it.
    """
    blocks: list[Block] = []
    for part in _parts(network):
        if blocks and not list(part.children()):
            blocks[-1].append(part)
        else:
            blocks.append([part])
    return blocks


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    for part in module.children():
        if next(part.parameters(), None) is None:
            continue
        if isinstance(part, Encoder) or (isinstance(part, nn.Sequential) and not _flat(part)):
            yield from _parts(part)
        else:
            yield part


def _flat(sequence: nn.Sequential) -> bool:
    return not any(list(part.children()) for part in sequence)


def trained_names(network: nn.Module, blocks: int | None) -> list[str]:
    """The names of the parameters in the last blocks, in the network's own order.

    Args:
        network: ends in pooled features.
        blocks: how many from the end; none: everything.
    """
    every = dict(network.named_parameters())
    if blocks is None:
        return list(every)
    chosen = blocks_of(network)[-blocks:] if blocks else []
    inside = {id(one) for block in chosen for part in block for one in part.parameters()}
    return [name for name, one in every.items() if id(one) in inside]
