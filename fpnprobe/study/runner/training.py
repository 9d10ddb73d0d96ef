"""The first step of a cell, its training, in the cell's own process."""

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import StoredCell
from fpnprobe.store.digests import find_damage
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.cell_work import CellWork
from fpnprobe.study.runner.failures import Interrupted

if TYPE_CHECKING:
    from fpnprobe.mm.training.task import Training
    from fpnprobe.mm.training.team import Team


def train_cell(work: CellWork) -> None:
    """Train, unless the final weights are there; put what was measured into the manifest."""
    from fpnprobe.mm.detectors.complexity import complexity
    from fpnprobe.mm.environment import describe
    from fpnprobe.mm.training.saved.keeper import Stopped
    from fpnprobe.mm.training.saved.trained_model import final_facts
    from fpnprobe.mm.training.train import train

    if work.stop():
        raise Interrupted
    work.progress(doing="building the model, opening the images")
    work.manifest["environment"] = describe()
    accumulate = work.output.study.schedule.accumulate
    every = max(1, work.output.iterations * accumulate // 50)
    folder = work.cell.folder / "checkpoints"

    def report(passes: int, seconds: float, loss: float | None) -> None:
        if passes == 1 or passes % every == 0:
            loss_text = "" if loss is None else f" loss {loss:.4f}"
            print(f"pass {passes}{loss_text} {seconds / passes:.3f} s", flush=True)  # noqa: T201 - the log
        work.progress(
            stage="train",
            iteration=passes // accumulate,
            seconds=seconds,
            per_iteration=seconds / passes * accumulate,
            loss=work.progress.now.loss if loss is None else loss,
        )

    if not (folder / "final.pt").is_file():
        work.team.announce("train")
        try:
            train(
                training(work.output, work.cell, device=work.device),
                report=report,
                stop=work.stop,
                checkpoint_every=work.output.study.resources.checkpoint_seconds,
                checkpoint_share=work.output.study.resources.checkpoint_share,
            )
        except Stopped:
            raise Interrupted from None
    facts = final_facts(folder)
    damage = find_damage(work.cell.folder, facts["files"], _training_tables(facts["files"]))
    for name, kind in damage.items():
        raise FpnProbeError(
            f"{work.cell.folder / name} is {kind} since the training ended, and only training "
            "makes it: put it back from a copy, or train again with --fresh"
        )
    work.manifest["timings"] |= {
        "train_s": round(facts["seconds"], 3),
        "per_iteration_s": round(facts["seconds"] / work.output.iterations, 5),
    }
    work.manifest["probe"] |= facts["probe"]
    size = work.output.study.data.known_size or 640
    sides = (size, size) if isinstance(size, int) else size
    height, width = (-(-side // 32) * 32 for side in sides)  # images are padded to multiples of 32
    work.manifest["model"] = complexity(work.model(), size=(height, width))


def _training_tables(files: Mapping[str, Any]) -> tuple[str, ...]:
    """The tables that a training wrote; weights are checked where they are read."""
    return tuple(name for name in files if "/" not in name)


def holds_weights_of(stored: StoredCell, key: str) -> bool:
    """Tell whether a cell folder without a manifest has a checkpoint of the cell with that key."""
    from fpnprobe.mm.training.saved import checkpoint

    for name in (checkpoint.FINAL, checkpoint.RESUME):
        with contextlib.suppress(FpnProbeError):
            if checkpoint.key_of(checkpoint.read(stored.checkpoints / name)) == key:
                return True
    return False


def training(output: Output, cell: Cell, *, device: str) -> "Training":
    """Collect what the training of a cell needs."""
    from fpnprobe.mm.training.task import Training

    return Training(
        config=CellConfig.of(output.study, cell.variant, cell.seed),
        key=cell.key,
        folder=cell.folder,
        root=output.source.root,
        annotations=output.source.train,
        classes=output.source.classes,
        iterations=output.iterations,
        rate=output.study.schedule.rate,
        buckets=output.study.scale_buckets(),
        device=device,
    )


def assist(
    output: Output, cell: Cell, *, team: "Team", device: str, stop: Callable[[], bool]
) -> bool:
    """Take part in what the first process of a cell does; return whether nobody asked to stop."""
    from fpnprobe.mm.training.saved.keeper import Stopped
    from fpnprobe.mm.training.train import train

    for task, weights in team.tasks():
        with contextlib.suppress(Stopped, Interrupted):  # the first one tells what comes of it
            if task == "train":
                train(
                    training(output, cell, device=device),
                    report=lambda *_: None,
                    stop=stop,
                    checkpoint_every=float("inf"),
                )
            else:
                _predict_share(output, cell, weights=weights, team=team, device=device, stop=stop)
    return not stop()


def _predict_share(
    output: Output,
    cell: Cell,
    *,
    weights: str,
    team: "Team",
    device: str,
    stop: Callable[[], bool],
) -> None:
    """Predict this process's share of the validation images."""
    from fpnprobe.mm.training.images.cell_images import open_images
    from fpnprobe.mm.training.predict import predict
    from fpnprobe.mm.training.saved.trained_model import load_final

    config, classes = CellConfig.of(output.study, cell.variant, cell.seed), output.source.classes

    def go_on(_count: int) -> None:
        if stop():
            raise Interrupted

    predict(
        load_final(
            cell.folder / "checkpoints", config, classes=len(classes), device=device, file=weights
        ),
        open_images(
            config,
            root=output.source.root,
            annotations=output.source.val,
            classes=classes,
            with_loss=False,
        ),
        file=cell.folder / "detections.json.gz",
        report=go_on,
        masks="segm" in output.study.evaluation.iou_types,
        team=team,
    )
