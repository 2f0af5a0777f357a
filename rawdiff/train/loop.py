"""The training loop: draw, step, average, look, keep.

Every random number comes from one generator whose state is kept, so a run that was killed goes on from its
last saved state and ends at the same weights as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawdiff.errors import ConfigurationError
from rawdiff.networks.unet import to_fast_layout
from rawdiff.networks.weights import save_weights
from rawdiff.train.checkpoint import STATE_NAME, Progress, load_state, save_state
from rawdiff.train.growth import start_from
from rawdiff.train.photographs import Library, Photograph
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.tasks import find_task

Event = Callable[[dict[str, Any]], None]
LOG_NAME = "log.jsonl"


class Run:
    """A training run in a folder: `state.pt`, `log.jsonl`, `RECIPE.safetensors`.

    Args:
        plan: what to train.
        photographs: those that may train do; the held-out ones validate.
        folder: where the run lives.
        resume: go on from the folder's state, whose plan must be the same.
        cache: folder of prepared scenes; `cache` in the run's folder unless given.
        side: of the validation crops in pixels.
        weights: a file to start from, where the run does not resume.

    Raises:
        ConfigurationError: the folder holds a run and `resume` is False, there is nothing to resume, or
            the plans differ; `weights` do not fit.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        photographs: Sequence[Photograph],
        folder: Path,
        resume: bool = False,
        cache: Path | None = None,
        side: int = 512,
        weights: Path | None = None,
    ) -> None:
        if not resume and (folder / STATE_NAME).exists():
            raise ConfigurationError("the folder holds a run already", where=folder, hint="add --resume")
        state = load_state(folder / STATE_NAME) if resume else None
        if state is not None and not plan.continues(state["plan"]):
            raise ConfigurationError("the run was started with another plan", where=folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.plan, self.folder, self.task = plan, folder, find_task(plan.recipe)
        training = [p for p in photographs if p.trains(plan.recipe)]
        cache = cache or folder / "cache"
        self.library = Library(
            training, plan.reductions, plan.leaves, plan.leaves_share, plan.seed, cache, plan.largest
        )
        self.cases = self.task.cases([p for p in photographs if p.held_out], side)
        torch.manual_seed(plan.seed)
        self.network = to_fast_layout(self.task.build(plan))
        self.progress = Progress()
        if weights is not None and state is None:
            self.progress.started_from = start_from(self.network, weights)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.average = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        self.generator = torch.Generator().manual_seed(plan.seed)
        if state is not None:
            self._restore(state)
        if [phase[1:] for phase in self.progress.phases[-1:]] != [[plan.batch, plan.side]]:
            self.progress.phases.append([self.progress.step, plan.batch, plan.side])

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = {name: tensor.float() for name, tensor in state["average"].items()}
        self.generator.set_state(state["generator"])
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Keep the state."""
        save_state(
            self.folder / STATE_NAME,
            self.plan.as_json(),
            self.progress,
            self.network,
            self.average,
            self.optimiser,
            self.generator,
        )

    def begin_cooldown(self, steps: int) -> None:
        """Let the learning rate fall to zero over the next `steps`: how a released model is finished."""
        if self.progress.cooldown_from is None:
            self.progress.cooldown_from, self.progress.cooldown_steps = self.progress.step, steps

    def reopen(self) -> None:
        """Go on after a finished cooldown at the full learning rate."""
        if self.finished():
            self.progress.cooldown_from, self.progress.cooldown_steps = None, 0

    def learning_rate(self) -> float:
        """Of the next step."""
        step, plan = self.progress.step, self.plan
        rate = plan.learning_rate * min(1.0, (step + 1) / max(plan.warmup, 1))
        if self.progress.cooldown_from is not None:
            rate *= max(0.0, 1 - (step - self.progress.cooldown_from) / self.progress.cooldown_steps)
        return rate

    def finished(self) -> bool:
        """True at the end of a cooldown."""
        start = self.progress.cooldown_from
        return start is not None and self.progress.step >= start + self.progress.cooldown_steps

    def step(self) -> float:
        """Take one optimiser step; return the error that the log shows."""
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        batch = self.task.draw(self.library, plan, self.generator)
        loss, error = self.task.loss(self.network, batch, self.generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        self.progress.step += 1
        return float(error)

    def _update_average(self) -> None:
        # Early weights are forgotten faster: the average follows a tenth of the run so far.
        decay = min(self.plan.averaging, self.progress.step / (self.progress.step + 10.0))
        current = self.network.state_dict()
        with torch.no_grad():
            for name, tensor in self.average.items():
                tensor.lerp_(current[name], 1.0 - decay)

    def averaged_network(self) -> nn.Module:
        """A network of the averaged weights, for inference."""
        network = self.task.build(self.plan)
        network.load_state_dict(self.average)
        return to_fast_layout(network).eval().requires_grad_(False)

    def look(self) -> dict[str, float]:
        """Validate the averaged weights: mean PSNR by condition, empty without cases."""
        return self.task.look(self.averaged_network(), self.cases)

    def write_weights(self) -> Path:
        """Store the averaged weights in half precision beside the state."""
        path = self.folder / f"{self.plan.recipe}.safetensors"
        save_weights(path, self.average, self.task.architecture, self.network.config)  # type: ignore[arg-type]
        return path

    def go(
        self,
        hours: float,
        steps: int | None = None,
        report: Event | None = None,
        log_every: int = 200,
        look_every: int = 2000,
        save_every: float = 300.0,
    ) -> None:
        """Train for `hours`, or `steps` more, or to the end of a cooldown, whichever comes first."""
        began, offset = time.monotonic(), self.progress.seconds
        until = None if steps is None else self.progress.step + steps
        saved, errors = began, list[float]()
        while not self.finished() and time.monotonic() - began < hours * 3600:
            if until is not None and self.progress.step >= until:
                break
            errors.append(self.step())
            now = time.monotonic()
            self.progress.seconds = offset + now - began
            if self.progress.step % log_every == 0:
                self._tell({"error": sum(errors) / len(errors), "rate": self.learning_rate()}, report)
                errors = []
            if self.progress.step % look_every == 0:
                self._tell({"psnr_db": self.look()}, report)
                self.write_weights()
            if now - saved > save_every:
                self.save()
                saved = now
        self.save()
        self._tell({"psnr_db": self.look()}, report)
        self.write_weights()

    def _tell(self, facts: dict[str, Any], report: Event | None) -> None:
        event = {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), **facts}
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(json.dumps(event) + "\n")
        if report is not None:
            report(event)
