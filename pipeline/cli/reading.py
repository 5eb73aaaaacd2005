"""``haarchive inspect``, ``verify`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from haarchive.pipeline.archive import Archive, ArchivedSource
    from haarchive.pipeline.jobs.restore import ReadEngine

__all__ = ["inspect_command", "restore_command", "verify_command"]

_Url = Annotated[
    str, typer.Argument(metavar="URL", help="An archive, or a source in it: ARCHIVE/NAME. Folder or s3://...")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a source.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
_Device = Annotated[str, typer.Option(help="Torch device of the codecs: cpu, cuda.")]
_Local = Annotated[bool, typer.Option("--local", help="Work in this process; so it is unless --ray is given.")]
_Ray = Annotated[
    bool, typer.Option("--ray", help="Work on the Ray cluster that RAY_ADDRESS names, or on one started here.")
]


def inspect_command(url: _Url, as_json: _Json = False) -> None:
    """Show what an archive holds, or what one source is made of.

    Reads manifests only, no image or sound.

    [bold]haarchive inspect[/] s3://bucket/archive

    [bold]haarchive inspect[/] s3://bucket/archive/slide.svs --json
    """
    from haarchive.pipeline.archive import ArchivedSource, open_archive
    from haarchive.pipeline.cli.show import print_json

    opened = open_archive(url)
    if not isinstance(opened, ArchivedSource):
        _inspect_all(opened, as_json)
    elif as_json:
        print_json(_facts(opened))
    else:
        typer.echo("\n".join(_description(opened)))


def verify_command(
    url: _Url,
    deep: Annotated[bool, typer.Option("--deep", help="Decode everything and compare with the original.")] = False,
    local: _Local = False,
    ray: _Ray = False,
    device: _Device = "cpu",
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Check that nothing in an archive is missing or damaged.

    Reads every object and compares its checksums. With --deep also decodes every chunk and compares the
    SHA-256 of every original file, which takes as long as restoring. Exit code 1 where anything is wrong.

    With --ray the sources of an archive are spread over a cluster, and an archive in a folder must be in reach of all
    of its nodes under the same path.

    [bold]haarchive verify[/] s3://bucket/archive

    [bold]haarchive verify[/] ./archive/slide.svs --deep

    [bold]haarchive verify[/] s3://bucket/archive --deep --ray
    """
    from haarchive.pipeline.cli.show import Screen, summarise
    from haarchive.pipeline.jobs.restore import verify

    with Screen(as_json=as_json, quiet=quiet, verb="verifying") as screen:
        report = verify(url, deep=deep, device=device, engine=_engine(local, ray), progress=screen)
    summarise(report, "verified")


def restore_command(
    url: _Url,
    out: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Where the originals go; made if not there. With --ray: a folder that all nodes share.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace files that are there.")] = False,
    local: _Local = False,
    ray: _Ray = False,
    device: _Device = "cpu",
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Write the original files back, byte for byte.

    A file gets its name only when its SHA-256 is that of the original. What was archived with --drop-bands comes back
    without its details, under a name that says so. Given an archive's root, every source
    is restored under its relative name.

    With --ray the sources of an archive are spread over a cluster. All of its nodes must then see FOLDER, and the
    archive where that is a folder, under the same path: a network file system. A node that does not is noticed.

    [bold]haarchive restore[/] s3://bucket/archive/slide.svs out/

    [bold]haarchive restore[/] ./archive out/

    [bold]haarchive restore[/] s3://bucket/archive /mnt/shared/out --ray
    """
    from haarchive.pipeline.cli.show import Screen, summarise
    from haarchive.pipeline.jobs.restore import restore

    with Screen(as_json=as_json, quiet=quiet, verb="restoring") as screen:
        report = restore(url, out, overwrite=force, device=device, engine=_engine(local, ray), progress=screen)
    summarise(report, "restored")


def _engine(local: bool, ray: bool) -> ReadEngine:
    if local and ray:
        raise typer.BadParameter("--local and --ray exclude each other")
    return "ray" if ray else "local"


def _inspect_all(archive: Archive, as_json: bool) -> None:
    """One line a source; a manifest that cannot be read does not hide the others."""
    from haarchive.codecs.errors import HaarchiveError
    from haarchive.pipeline.cli.show import human_bytes, print_json

    raw = archived = failed = 0
    names = archive.sources()
    for name in names:
        try:
            source = archive[name]
        except HaarchiveError as error:
            failed += 1
            typer.echo(f"haarchive: {error}", err=True)
            continue
        raw, archived = raw + source.size, archived + source.archived_bytes
        if as_json:
            print_json(_facts(source))
        else:
            typer.echo(f"{name}: {_sizes(source.size, source.archived_bytes)}, {_kind(source)}")
    if not as_json:
        typer.echo(f"{len(names)} sources, {_sizes(raw, archived)}, in {archive.url}")
        if not names:
            typer.echo(f"nothing is archived here yet ({human_bytes(0)})")
    if failed:
        raise typer.Exit(1)


def _description(source: ArchivedSource) -> list[str]:
    """A source for people, line by line."""
    from haarchive.pipeline.cli.show import human_bytes
    from haarchive.pipeline.guarantees import dropped_bands

    manifest = source.manifest
    layout = manifest.layout
    lines = [
        f"{source.name}: {_sizes(source.size, source.archived_bytes)}",
        f"  kind       {_kind(source)}",
        f"  guarantee  {manifest.guarantee}",
    ]
    if dropped_bands(manifest.guarantee):
        lines[-1] += ": pictures lack details, the original cannot be restored"
    lines += [f"  {name:<10} {layout.attrs[name]}" for name in ("note", "mpp", "vendor") if layout.attrs.get(name)]
    for number, level in enumerate(source.levels):
        made = ", from the codec's coarse bands" if level.reduce else ""
        lines.append(f"  level {number}    {level.width} x {level.height}, 1/{level.downsample:g}{made}")
    associated = list(source.associated_images)
    if associated:
        lines.append(f"  beside     {', '.join(associated)}")
    for number, plane in enumerate(layout.planes):
        what = "skeleton" if number == 0 else plane.kind
        shape = " x ".join(str(extent) for extent in plane.shape)
        lines.append(f"  plane {number}    {what} {shape} {plane.dtype}, {plane.n_chunks} chunks for {plane.codec}")
        coded = manifest.plane_codecs(number)
        if coded.keys() - {plane.codec}:
            lines[-1] += f" ({', '.join(f'{name} {count}' for name, count in coded.items())})"
        if levels := plane.attrs.get("dropped_bands"):
            lines[-1] += f", {levels} finest levels dropped"
    for name, totals in manifest.codec_totals().items():
        sizes = _sizes(totals.raw_bytes, totals.bytes)
        lines.append(f"  codec      {name}: {totals.chunks} chunks, {sizes}")
    lines += [f"  fallback   {count} chunks: {reason}" for reason, count in manifest.fallbacks().items()]
    lines += [f"  model      {name}: {sha256}" for name, sha256 in manifest.models.items()]
    lines += [f"  shard      {shard.sha256} {human_bytes(shard.nbytes)}" for shard in manifest.shards]
    if manifest.payload:
        lines.append(f"  shard      none: {human_bytes(len(manifest.payload))} of bitstreams are in the manifest")
    if len(layout.members) == 1:
        (member,) = layout.members
        lines.append(f"  sha-256    {member.sha256 or 'none: what is restored is not the original'}")
    if len(layout.members) > 1:
        lines.append(f"  files      {len(layout.members)}")
    return lines


def _facts(source: ArchivedSource) -> dict[str, Any]:
    """A source as JSON-able values."""
    manifest = source.manifest
    layout = manifest.layout
    facts: dict[str, Any] = {
        "source": source.name,
        "kind": layout.kind,
        "bytes": source.size,
        "archived_bytes": source.archived_bytes,
        "guarantee": manifest.guarantee,
        "members": [{"path": m.path, "bytes": m.size, "sha256": m.sha256} for m in layout.members],
        "levels": [
            {
                "width": v.width,
                "height": v.height,
                "downsample": v.downsample,
                "plane": v.plane,
                "reduce": v.reduce,
            }
            for v in source.levels
        ],
        "associated": list(source.associated_images),
        "planes": [
            {
                "kind": plane.kind,
                "shape": list(plane.shape),
                "dtype": plane.dtype,
                "chunk_shape": list(plane.chunk_shape),
                "chunks": plane.n_chunks,
                "codec": plane.codec,
                "coded_by": manifest.plane_codecs(number),
                "dropped_bands": plane.attrs.get("dropped_bands", 0),
            }
            for number, plane in enumerate(layout.planes)
        ],
        "codecs": {
            name: {"chunks": totals.chunks, "raw_bytes": totals.raw_bytes, "bytes": totals.bytes}
            for name, totals in manifest.codec_totals().items()
        },
        "fallbacks": manifest.fallbacks(),
        "models": dict(manifest.models),
        "shards": [{"sha256": shard.sha256, "bytes": shard.nbytes} for shard in manifest.shards],
        "attrs": dict(layout.attrs),
    }
    sound = _sound(source)
    return facts | ({"sound": sound} if sound else {})


def _sound(source: ArchivedSource) -> dict[str, Any]:
    """Facts of a recording's first audio plane; empty for what has none."""
    for plane in source.manifest.layout.planes:
        if plane.kind == "audio":
            frames, channels = plane.shape
            rate, bits = plane.attrs.get("samplerate"), plane.attrs.get("bits")
            return {"frames": frames, "channels": channels, "samplerate": rate, "bits": bits}
    return {}


def _kind(source: ArchivedSource) -> str:
    kind = source.manifest.layout.kind
    if source.levels:
        return f"{kind} {source.dimensions[0]} x {source.dimensions[1]}"
    sound = _sound(source)
    if sound and sound["samplerate"]:
        seconds = sound["frames"] / sound["samplerate"]
        return f"{kind} {seconds:.1f} s, {sound['channels']} x {sound['bits']} bit, {sound['samplerate']} Hz"
    return kind


def _sizes(raw: int, coded: int) -> str:
    from haarchive.pipeline.cli.show import human_bytes

    percent = f" ({coded / raw:.1%})" if raw else ""
    return f"{human_bytes(raw)} -> {human_bytes(coded)}{percent}"
