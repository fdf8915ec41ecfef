"""Adam, by torch's functional implementation."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The parameters of one network and the moments of their gradients; torch's fused kernel updates them if it can.

    `torch.optim.Adam` does the same, but constructing an optimizer of torch imports torch's compiler, which takes as
    long as torch itself. The moments exist from the start and are changed in place, as a CUDA graph of the step
    requires; nothing waits for the device.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    _step_supports_amp_scaling = True  # torch.amp.GradScaler then hands `grad_scale` and `found_inf` to `step`

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, betas: tuple[float, float]) -> None:
        """Start with moments of zero; the parameters, all on one device, are updated in place.

        Frozen ones are left out. `lr` can be replaced before a step, by a number or by a scalar tensor on the device.
        """
        self.parameters = [each for each in parameters if each.requires_grad]
        self.lr: float | Tensor = lr
        self._betas = betas
        device = self.parameters[0].device
        self._fused = device.type in ("cpu", "cuda")
        self._step = [torch.zeros((), device=device if self._fused else "cpu") for _ in self.parameters]
        self._exp_avg = [torch.zeros_like(each) for each in self.parameters]
        self._exp_avg_sq = [torch.zeros_like(each) for each in self.parameters]

    @property
    def param_groups(self) -> list[dict[str, list[Tensor]]]:
        """The parameters, in the form that GradScaler reads."""
        return [{"params": self.parameters}]

    def tensors(self) -> dict[str, Tensor]:
        """Return, without copies, `0.step` (), `0.exp_avg` and `0.exp_avg_sq` of the first parameter, and so on."""
        kept = {"step": self._step, "exp_avg": self._exp_avg, "exp_avg_sq": self._exp_avg_sq}
        return {f"{index}.{name}": kept[name][index] for index in range(len(self.parameters)) for name in kept}

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the parameters, after a backward pass; no copies."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def zero_grad(self) -> None:
        """Free the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient; skipped if GradScaler found one that is not finite."""
        beta1, beta2 = self._betas
        lr = self.lr if self._fused else float(self.lr)
        slots = zip(self.parameters, self._exp_avg, self._exp_avg_sq, self._step, strict=True)
        parameters, exp_avg, exp_avg_sq, steps = zip(*(slot for slot in slots if slot[0].grad is not None), strict=True)
        adam(
            list(parameters), self.gradients(), list(exp_avg), list(exp_avg_sq), [], list(steps),
            fused=self._fused, foreach=not self._fused,
            grad_scale=getattr(self, "grad_scale", None), found_inf=getattr(self, "found_inf", None),
            amsgrad=False, beta1=beta1, beta2=beta2, lr=lr, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
