"""The optimiser of all trainings."""

from inspect import unwrap

import torch
from torch.optim import Optimizer


class Adam(torch.optim.Adam):
    """PyTorch's Adam, without what only ``torch.compile`` needs.

    Around these three methods PyTorch imports its compiler, which nothing here uses: two seconds of a processor and
    70 MiB in each process that trains.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
