"""Train, predict and evaluate from Python, without a window. Read it from top to bottom.

It makes six synthetic abdomens, trains a small U-Net on four of them, and scores it on the
other two. Delete ``example-output`` to run it anew: a run is never overwritten.
"""

from __future__ import annotations

from pathlib import Path

from napari_medcontext.core.cases import decathlon_cases
from napari_medcontext.core.config import RunConfig, RunSpec
from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.events import Preparing, RunFinished, RunStarted, StepFinished
from napari_medcontext.core.inference import Prediction, Predictor, load_predictor
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.core.jobs import execute
from napari_medcontext.core.phantom import write_study
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.scores import summarise, write_scores
from napari_medcontext.core.volume import Volume

OUT = Path("example-output")
STEPS = 150
SETTINGS = {
    "data": {"intensity": "window", "patch_size": (64, 64, 32)},
    "training": {"steps": STEPS, "preview_every": 0.0},
}


def train(dataset: Path) -> RunFolder:
    """Train on the study's training scans, printing what the engine tells."""
    cases, class_names = decathlon_cases(dataset)
    config = RunConfig().updated(SETTINGS)
    spec = RunSpec(config=config, cases=cases, class_names=class_names)
    run = RunFolder(OUT / "run").create(spec)
    for event in execute(run.path):
        match event:
            case Preparing(message=message):
                print(message)
            case RunStarted(device=device, parameters=parameters):
                print(f"Training {parameters:,} parameters on {device}")
            case StepFinished(step=step, losses=losses) if step % 10 == 0:
                print(f"step {step} of {STEPS}: Dice-CE {losses['dice_ce']:.3f}")
            case RunFinished(reason="failed", message=message):
                raise SystemExit(message)
            case RunFinished(message=message):
                print(message)
    return run


def predicted(predictor: Predictor, scan: Volume) -> Prediction:
    """Run a prediction to its end; it yields its progress and returns the answer."""
    work = predictor.predict(scan)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def main() -> None:
    """Make the study, train, predict the test scans and score them."""
    dataset = write_study(OUT / "study")
    predictor = load_predictor(train(dataset), "student")
    scores = []
    for image in list_scans(dataset.parent / "imagesTs"):
        labels = predicted(predictor, read_volume(image)).labels
        write_volume(OUT / "predictions" / image.name, labels)
        reference = read_volume(dataset.parent / "labelsTs" / image.name)
        case_scores = evaluate_volumes(labels, reference, case=image.name)
        print(f"{image.name}: {summarise(case_scores).text}")
        scores += case_scores
    print(write_scores(OUT / "scores.csv", scores))


if __name__ == "__main__":
    main()
