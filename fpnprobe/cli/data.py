"""`fpnprobe data make|check|subset`: generate, check and cut COCO folders."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

_JSON = typer.Option("--json", help="Print the result as JSON.")
_AREA = typer.Option(help="box: take each object's area from its box, for data without `area`.")


def _print_result(content: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content))
        return
    for key, value in content.items():
        text = value
        if isinstance(value, dict):
            text = ", ".join(f"{name} {count}" for name, count in value.items())
        elif isinstance(value, list | tuple):
            text = ", ".join(map(str, value))
        typer.echo(f"{key:12} {text}")


def add(app: typer.Typer) -> None:
    """Register the verb."""
    verb = typer.Typer(no_args_is_help=True, help="Generate, check and cut COCO folders.")
    app.add_typer(verb, name="data")

    @verb.command()
    def make(
        root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
        train: Annotated[int, typer.Option(help="Training images.")] = 800,
        val: Annotated[int, typer.Option(help="Validation images.")] = 200,
        size: Annotated[int, typer.Option(help="Image side in px.")] = 192,
        seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
        as_json: Annotated[bool, _JSON] = False,
    ) -> None:
        """Generate scale scenes as a COCO folder."""
        from fpnprobe.data import coco, scenes

        folder = scenes.make(root, train=train, val=val, size=size, seed=seed)
        objects = {split: coco.check(folder, split).objects for split in ("train", "val")}
        _print_result(
            {"root": str(folder), "train": train, "val": val, "objects": objects}, as_json=as_json
        )

    @verb.command()
    def check(
        root: Annotated[
            Path,
            typer.Argument(
                metavar="DIR", help="Data folder: COCO's layout, ours, CVAT's or Roboflow's."
            ),
        ],
        split: Annotated[
            list[str] | None, typer.Option(help="Annotation file to check; repeatable.")
        ] = None,
        area: Annotated[str | None, _AREA] = None,
        decode: Annotated[
            bool,
            typer.Option(
                "--decode",
                help="Decode every image; by default those of sets up to 20,000 files and 200 MB, "
                "and of larger ones what is no plain JPEG or PNG with its proper ending.",
            ),
        ] = False,
        as_json: Annotated[bool, _JSON] = False,
    ) -> None:
        """Check annotations and image files; exit code 2 with one line for the first problem."""
        from fpnprobe.data import coco

        names = split or ("train", "val")
        summaries = coco.check_splits(root, names, area=area, decode=decode)
        for line in (line for summary in summaries for line in summary.warnings):
            typer.echo(f"warning: {line}", err=True)
        if as_json:
            typer.echo(json.dumps({"splits": [summary.to_dict() for summary in summaries]}))
            return
        for summary in summaries:
            _print_result(summary.to_dict(), as_json=False)

    @verb.command()
    def subset(
        root: Annotated[Path, typer.Argument(metavar="DIR", help="COCO folder to cut from.")],
        target: Annotated[
            Path, typer.Argument(metavar="TARGET", help="Folder to write; new or empty.")
        ],
        images: Annotated[int | None, typer.Option(help="Training images; all by default.")] = None,
        val_images: Annotated[
            int | None, typer.Option(help="Validation images; all by default.")
        ] = None,
        classes: Annotated[
            int | None, typer.Option(help="Keep the most frequent classes; all by default.")
        ] = None,
        min_objects: Annotated[int, typer.Option(help="Fewest objects of an image.")] = 1,
        seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
        link: Annotated[bool, typer.Option(help="Link images instead of copying them.")] = False,
        area: Annotated[str | None, _AREA] = None,
        as_json: Annotated[bool, _JSON] = False,
    ) -> None:
        """Cut a smaller data set out of a COCO folder, always the same one."""
        from fpnprobe.data import coco
        from fpnprobe.data import subset as cut

        folder = cut.make(
            root,
            target,
            images=images,
            val_images=val_images,
            classes=classes,
            min_objects=min_objects,
            seed=seed,
            link=link,
            area=area,
        )
        summaries = {split: coco.check(folder, split) for split in ("train", "val")}
        counts = {
            split: {"images": s.images, "objects": s.objects} for split, s in summaries.items()
        }
        names = list(summaries["train"].categories)
        _print_result({"root": str(folder), **counts, "classes": names}, as_json=as_json)
