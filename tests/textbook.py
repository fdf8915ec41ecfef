"""Adam as its paper writes it, without torch's optimizers, whose construction imports torch's compiler for seconds."""

import torch


class Adam:
    """Algorithm 1 of Kingma and Ba, ICLR 2015, in float64; `m` and `v` are the moments, `t` the steps."""

    def __init__(self, parameters, lr, betas, eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps, self.t = list(parameters), lr, betas, eps, 0
        self.m, self.v = ([torch.zeros_like(p, dtype=torch.float64) for p in self.parameters] for _ in range(2))

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
            g = p.grad.double()
            m.copy_(beta1 * m + (1 - beta1) * g)
            v.copy_(beta2 * v + (1 - beta2) * g * g)
            m_hat, v_hat = m / (1 - beta1**self.t), v / (1 - beta2**self.t)
            p.copy_(p.double() - self.lr * m_hat / (v_hat.sqrt() + self.eps))
