"""A short training without dropout, alone or under torchrun: the body of test_distributed."""

import sys
from pathlib import Path

import torch
from torch import nn

from a2u_cli.network.model import MattingNetwork
from a2u_cli.training import distributed
from a2u_cli.training import trainer as training
from a2u_cli.training.data.building import build_engine

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    device = distributed.join(torch.device("cpu"))
    torch.manual_seed(0)
    network = MattingNetwork()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    training.VALIDATION_CROPS, training.VALIDATION_SIZE = 8, 32
    options = training.TrainOptions(
        steps=4, batch=4, sizes=(32,), warmup=2, learning_rate=1e-12, save_every=4
    )
    # in float64, since rounding turns signs in the L1 losses: up to 1 % of a float32 gradient
    network.double().register_forward_pre_hook(lambda _, planes: tuple(p.double() for p in planes))
    engine = build_engine(drawn=8, scenes=2, drawn_side=64, cache=folder / "cache")
    training.Trainer(network, engine, options, folder).run()
    distributed.leave()
