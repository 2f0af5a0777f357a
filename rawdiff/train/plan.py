"""What a training run is, apart from how long it lasts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

from rawdiff.train.synthesis import SynthesisPlan


class DrawingPlan(Protocol):
    """A frozen dataclass that says what a task draws: `SynthesisPlan` or an enhancer's own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class TrainingPlan:
    """A run is the same run only with the same plan, batch and side aside.

    Attributes:
        recipe: which network is trained, a name in `tasks.TASKS`.
        seed: of the weights and of everything drawn.
        batch: samples a step.
        side: their side in pixels, packed ones for a denoiser.
        learning_rate: after the warm-up, until a cooldown is asked for.
        warmup: steps.
        averaging: decay of the running average of the weights.
        widths: channels of the network's levels.
        blocks: residual blocks of its levels.
        options: further options of the network, as JSON values (ablations).
        reductions: each photograph is used reduced by these factors.
        largest: reductions of more pixels on the longer side are left out; 0 for no limit.
        leaves: number of dead-leaves scenes.
        leaves_share: fraction of crops from them.
        synthesis: what is drawn; each task has its own kind of plan.
    """

    recipe: str = "mmse"
    seed: int = 1
    batch: int = 8
    side: int = 64
    learning_rate: float = 8e-4
    warmup: int = 300
    averaging: float = 0.9995
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 2, 1)
    options: tuple[tuple[str, bool | int | float], ...] = ()
    reductions: tuple[int, ...] = (2, 4)
    largest: int = 0
    leaves: int = 48
    leaves_share: float = 0.12
    synthesis: DrawingPlan = field(default_factory=SynthesisPlan)

    def continues(self, stored: dict[str, Any]) -> bool:
        """True where a run of the plan `stored` may go on with this one: batch and side may change.

        What a stored plan does not say was not yet to be chosen, and was what is the default now.
        """
        mine = self.as_json()
        return {**TrainingPlan().as_json(), **stored, "batch": mine["batch"], "side": mine["side"]} == mine

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON holds it, so that a stored one compares equal."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
